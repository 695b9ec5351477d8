if __name__ != "trine.edge":
    raise ImportError("this folder is part of Trine: install it (make .venv) and import trine.edge")
