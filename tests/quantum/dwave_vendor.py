"""The part of D-Wave's solver interface (SAPI 3) that its client uses; answers by trying every string."""

from __future__ import annotations

import base64
import itertools
import json
import struct
import zlib
from typing import Any

import numpy as np
from cloud_server import Answer, Asked, Vendor, json_answer

TOKEN = "leap-token-nobody-may-see"
NAME = "chimera_32q_mock"
READS = 20


class DWave(Vendor):
    """Problems by id; `fate`: the state of new ones; `drop_send`: cut that many answers."""

    def __init__(self) -> None:
        super().__init__()
        from dwave.cloud.testing import mocks

        self.problems: dict[str, dict[str, Any]] = {}
        self.fate = "COMPLETED"
        self.drop_send = 0
        self.refuse = False
        self.solver = mocks.qpu_chimera_solver_data(2, avg_load=0.1)

    def answer(self, asked: Asked) -> Answer:
        """By path; only with the token."""
        if self.refuse or asked.headers.get("x-auth-token") != TOKEN:
            return json_answer({"error_code": 401, "error_msg": "invalid token"}, 401)
        kind = "solver-definition"
        if asked.path == "/solvers/remote/":
            return sapi([self.solver], kind + "-list")
        if asked.path.startswith("/solvers/remote/"):
            known = asked.path.rstrip("/").endswith(NAME)
            return (
                sapi(self.solver, kind)
                if known
                else json_answer({"error_code": 404, "error_msg": "none"}, 404)
            )
        if asked.path == "/problems/":
            return self.submit(asked) if asked.method == "POST" else sapi(self.listed(asked), "problems")
        return self.of_problem(asked, asked.path.removeprefix("/problems/").rstrip("/"))

    def submit(self, asked: Asked) -> Answer:
        """Take problems, and perhaps cut the line."""
        deflated = asked.headers.get("content-encoding") == "deflate"
        made = []
        for given in json.loads(zlib.decompress(asked.body) if deflated else asked.body):
            number = f"problem-{len(self.problems)}"
            self.problems[number] = {
                "id": number, "type": given["type"], "solver": given["solver"], "label": given["label"],
                "status": self.fate, "submitted_on": "2026-11-01T10:00:00Z", "given": given,
            }  # fmt: skip
            made.append(shown(self.problems[number]))
        self.drop_send -= 1
        answer = sapi(made, "problems")
        return Answer(answer.body, 202, answer.kind, drop=self.drop_send >= 0)

    def listed(self, asked: Asked) -> list[dict[str, Any]]:
        """By label."""
        labels = asked.query.get("label")
        return [shown(p) for p in self.problems.values() if labels is None or p["label"] in labels]

    def of_problem(self, asked: Asked, number: str) -> Answer:
        """Status with the answer, or a cancellation."""
        if number not in self.problems:
            return json_answer({"error_code": 404, "error_msg": "none"}, 404)
        problem = self.problems[number]
        if asked.method == "DELETE":
            problem["status"] = "CANCELLED"
        more = {"answer": self.solved(problem["given"])} if problem["status"] == "COMPLETED" else {}
        failed = {"error_message": "the fridge is warm"} if problem["status"] == "FAILED" else {}
        return sapi({**shown(problem), **more, **failed}, "problem")

    def solved(self, given: dict[str, Any]) -> dict[str, Any]:
        """The lowest string of all, read `num_reads` times."""
        qubits, couplers = self.solver["properties"]["qubits"], self.solver["properties"]["couplers"]
        linear = struct.unpack(f"<{len(qubits)}d", base64.b64decode(given["data"]["lin"]))
        active = [k for k, v in enumerate(linear) if v == v]
        place = {qubits[k]: n for n, k in enumerate(active)}
        pairs = [(place[a], place[b]) for a, b in couplers if a in place and b in place]
        weights = struct.unpack(f"<{len(pairs)}d", base64.b64decode(given["data"]["quad"]))
        spins = np.array(list(itertools.product((-1, 1), repeat=len(active))))
        energies = spins @ np.array([linear[k] for k in active])
        for (a, b), weight in zip(pairs, weights, strict=True):
            energies = energies + weight * spins[:, a] * spins[:, b]
        best = spins[energies.argmin()]
        reads = given["params"]["num_reads"]
        packed = np.packbits((best > 0).astype(np.uint8)).tobytes() * reads
        return {
            "format": "qp", "num_variables": len(qubits),
            "active_variables": encoded("i", [qubits[k] for k in active]),
            "energies": encoded("d", [float(energies.min())] * reads),
            "solutions": base64.b64encode(packed).decode(),
            "num_occurrences": encoded("i", [1] * reads), "timing": {"qpu_access_time": 15000.0},
        }  # fmt: skip


def encoded(kind: str, values: list[Any]) -> str:
    """Little-endian numbers in base 64."""
    return base64.b64encode(struct.pack(f"<{len(values)}{kind}", *values)).decode()


def shown(problem: dict[str, Any]) -> dict[str, Any]:
    """Without what was given."""
    return {k: v for k, v in problem.items() if k != "given"}


def sapi(data: Any, kind: str) -> Answer:
    """JSON with SAPI's versioned type."""
    made = json_answer(data)
    return Answer(made.body, 200, f"application/vnd.dwave.sapi.{kind}+json; version=3.0.0")
