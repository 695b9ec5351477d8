if __name__ != "trine.compilers":
    raise ImportError("this folder is part of Trine: install it (make .venv) and import trine.compilers")
