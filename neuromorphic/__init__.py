if __name__ != "trine.neuromorphic":
    raise ImportError("this folder is part of Trine: install it (make .venv) and import trine.neuromorphic")
