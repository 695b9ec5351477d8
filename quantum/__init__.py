if __name__ != "trine.quantum":
    raise ImportError("this folder is part of Trine: install it (make .venv) and import trine.quantum")
