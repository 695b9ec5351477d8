"""What samples are worth: beside their baselines, in numbers and pictures."""
