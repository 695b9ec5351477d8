"""Train a message-passing network with one attention block on small molecules and write it as ONNX.

python train_graph.py              trains (a minute or two on one core) and writes graph.onnx beside this file
python train_graph.py --data-only  only writes calib.npz and test.npz, of the molecules to learn from and held out

A molecule is padded to 24 atoms. Inputs of one molecule:
  atoms [24, 20]  one-hot element, number of neighbours, greatest bond order
  bonds [24, 24]  bond orders, each row divided by its sum: what an atom hears from its neighbours
  mask [1, 24]    0 for an atom, -8 for padding: added to the scores before the softmax
  pool [2, 24]    1/n and 1/24 for each of the n atoms: a mean over the molecule, and a sum that keeps its size
Two layers of H' = relu(A H W1 + H W2 + b) (graph convolution with a weight of its own for the atom itself, as in Morris
et al. 2019, arXiv 1810.02244), then H + softmax(Q K^T / sqrt(d) + mask) V (Vaswani et al. 2017, arXiv 1706.03762),
the masked pools and two dense layers to the classes low, medium and high solubility.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
NODES = 24
ELEMENTS = ("C", "N", "O", "S", "F", "Cl", "Br", "I", "P")  # and one place for any other
NEIGHBOURS = 6  # one-hot 0 to 5 and more
ORDERS = 4  # one-hot 0 (alone), single, double, triple
FEATURES = len(ELEMENTS) + 1 + NEIGHBOURS + ORDERS
CLASSES = ("low", "medium", "high")
HIDDEN = 32
UNHEARD = -8.0
EPOCHS = 60

Arrays = dict[str, "np.ndarray[Any, Any]"]


def graphs(split: str, path: Path = HERE / "solubility.csv") -> Arrays:
    """The network's inputs for every molecule of a split, and `y` and `classes`."""
    lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    rows = [graph(atoms.split(), bonds.split()) for part, _, atoms, bonds in lines if part == split]
    labels = [CLASSES.index(kind) for part, kind, _, _ in lines if part == split]
    made = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    return {**made, "y": np.array(labels, np.int64), "classes": np.array(CLASSES)}


def graph(elements: list[str], bonds: list[str]) -> Arrays:
    """One molecule; `bonds` as `0-1`, `1=2`, `2#3`: single, double, triple."""
    count = len(elements)
    order = np.zeros((NODES, NODES), np.float32)
    for bond in bonds:
        (sign,) = set(bond) & set("-=#")
        a, b = map(int, bond.split(sign))
        order[a, b] = order[b, a] = "-=#".index(sign) + 1
    atoms = np.zeros((NODES, FEATURES), np.float32)
    for i, element in enumerate(elements):
        kind = ELEMENTS.index(element) if element in ELEMENTS else len(ELEMENTS)
        neighbours = min(int((order[i] > 0).sum()), NEIGHBOURS - 1)
        places = (kind, len(ELEMENTS) + 1 + neighbours, FEATURES - ORDERS + int(order[i].max()))
        atoms[i, list(places)] = 1.0
    real = np.arange(NODES) < count
    return {
        "atoms": atoms,
        "bonds": order / np.maximum(order.sum(1, keepdims=True), 1.0),
        "mask": np.where(real, 0.0, UNHEARD).astype(np.float32)[None],
        "pool": np.stack([real / count, real / NODES]).astype(np.float32),
    }


def network() -> Any:
    """The untrained network."""
    import torch
    from torch import Tensor, nn

    class Hear(nn.Module):
        """relu(A H W1 + H W2 + b)."""

        def __init__(self, wide: int) -> None:
            super().__init__()
            self.neighbours, self.itself = nn.Linear(wide, HIDDEN, bias=False), nn.Linear(wide, HIDDEN)

        def forward(self, atoms: Tensor, bonds: Tensor) -> Tensor:
            return torch.relu(bonds @ self.neighbours(atoms) + self.itself(atoms))

    class GraphNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = Hear(FEATURES), Hear(HIDDEN)
            self.query, self.key, self.value = (nn.Linear(HIDDEN, HIDDEN, bias=False) for _ in range(3))
            self.drop = nn.Dropout(0.2)
            self.decide = nn.Sequential(nn.Linear(2 * HIDDEN, 32), nn.ReLU(), nn.Linear(32, len(CLASSES)))

        def forward(self, atoms: Tensor, bonds: Tensor, mask: Tensor, pool: Tensor) -> Tensor:
            heard = self.second(self.first(atoms, bonds), bonds)
            scores = self.query(heard) @ self.key(heard).transpose(1, 2) * HIDDEN**-0.5 + mask
            mixed = heard + torch.softmax(scores, -1) @ self.value(heard)
            decided: Tensor = self.decide(self.drop((pool @ mixed).flatten(1)))
            return decided

    return GraphNet()


INPUTS = ("atoms", "bonds", "mask", "pool")


def train(data: Arrays, epochs: int, seed: int) -> Any:
    """AdamW with one cycle of the rate; the same weights on every run of one machine."""
    import torch
    from torch.nn import functional

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    net, feed = network(), [torch.from_numpy(data[name]) for name in INPUTS]
    labels, size = torch.from_numpy(data["y"]), 64
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=1e-2)
    batches = -(-len(labels) // size)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=epochs * batches)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels)).split(size):
            loss = functional.cross_entropy(net(*(x[rows] for x in feed)), labels[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rate.step()
    return net.eval()


def export(net: Any, path: Path) -> None:
    """Write the network as ONNX: weights inside, any batch size, no notes of the exporter."""
    import onnx
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it speaks of packages that are not needed here
    shapes = {"atoms": (NODES, FEATURES), "bonds": (NODES, NODES), "mask": (1, NODES), "pool": (2, NODES)}
    batch = {0: torch.export.Dim("batch")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            net, tuple(torch.zeros(2, *shape) for shape in shapes.values()), input_names=list(INPUTS),
            output_names=["logits"], dynamic_shapes=dict.fromkeys(INPUTS, batch), opset_version=18,
            dynamo=True, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    del model.graph.metadata_props[:], model.metadata_props[:]
    model.doc_string = "Aqueous solubility of a molecule of at most 24 heavy atoms; classes " + " ".join(
        CLASSES
    )
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def right(net: Any, data: Arrays) -> float:
    """Share of molecules in their class."""
    import torch

    with torch.no_grad():
        logits = net(*(torch.from_numpy(data[name]) for name in INPUTS)).numpy()
    return float(np.mean(logits.argmax(1) == data["y"]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data-only", action="store_true", help="write calib.npz and test.npz, train nothing"
    )
    parser.add_argument(
        "--folds", type=int, default=0, help="only cross-validate on the molecules to learn from"
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="folder to write to")
    given = parser.parse_args()
    learn, held = graphs("train"), graphs("test")
    if given.folds:
        fold = np.random.default_rng(given.seed).permutation(len(learn["y"])) % given.folds
        names = (*INPUTS, "y")
        found = [
            right(
                train({n: learn[n][fold != k] for n in names}, given.epochs, given.seed),
                {n: learn[n][fold == k] for n in names},
            )
            for k in range(given.folds)
        ]
        print(f"{given.folds} folds: " + " ".join(f"{100 * share:.1f}" for share in found))
        return
    np.savez_compressed(given.output / "calib.npz", **learn)
    np.savez_compressed(given.output / "test.npz", **held)
    if not given.data_only:
        net = train(learn, given.epochs, given.seed)
        export(net, given.output / "graph.onnx")
        print(f"float: {100 * right(net, held):.1f} % of {len(held['y'])} held-out molecules")


if __name__ == "__main__":
    main()
