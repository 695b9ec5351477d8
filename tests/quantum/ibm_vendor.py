"""The part of IBM's runtime REST interface that its client uses, over a small machine that computes exactly."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from cloud_server import Answer, Asked, Vendor, json_answer

from trine.quantum.circuits.qiskit_bridge import from_qiskit
from trine.quantum.providers.ibm_fake import cut
from trine.quantum.statevector import run_circuit

CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/abc:0000-1111::"
MACHINE = "ibm_manila"
TOKEN = "a-secret-token-nobody-may-see"


class Ibm(Vendor):
    """Jobs by id; `fate`: the state of new jobs; `drop_send`: cut the answer of that many submissions."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, dict[str, Any]] = {}
        self.fate = "Completed"
        self.drop_send = 0
        self.refuse = False
        import qiskit_ibm_runtime.fake_provider as fakes

        folder = Path(fakes.__file__).parent / "backends" / "manila"
        self.configuration = json.loads((folder / "conf_manila.json").read_text())
        self.configuration["backend_name"] = MACHINE
        self.properties = json.loads((folder / "props_manila.json").read_text())

    def answer(self, asked: Asked) -> Answer:
        """By path."""
        path = asked.path.removeprefix("/experimental")
        if asked.path.endswith("/identity/token"):
            return json_answer({"access_token": session_token(), "refresh_token": "none"})
        if self.refuse:
            return json_answer({"error": {"message": "invalid token", "code": 1}}, 401)
        if path == "/backends":
            return json_answer({"devices": [{"name": MACHINE, "class": "qpu"}]})
        if path.startswith("/backends/"):
            return json_answer(
                {"configuration": self.configuration, "properties": self.properties,
                 "status": {"state": True, "status": "active", "backend_version": "1", "length_queue": 0}}
                [path.rsplit("/", 1)[1]]
            )  # fmt: skip
        if path == "/instances/usage":
            return json_answer({"usage_remaining_seconds": 600})
        if path == "/jobs":
            return self.submit(asked) if asked.method == "POST" else self.listing(asked)
        return self.of_job(asked, *path.removeprefix("/jobs/").split("/"))

    def submit(self, asked: Asked) -> Answer:
        """Take a job, and perhaps cut the line."""
        data = json.loads(asked.body)
        number = f"job{len(self.jobs)}"
        self.jobs[number] = {
            "id": number, "backend": data["backend"], "tags": data.get("tags", []), "params": data["params"],
            "program": {"id": data["program_id"]}, "created": "2026-11-01T10:00:00Z", "state": {"status": self.fate},
        }  # fmt: skip
        self.drop_send -= 1
        return json_answer({"id": number, "backend": data["backend"]}, drop=self.drop_send >= 0)

    def listing(self, asked: Asked) -> Answer:
        """Jobs that carry all the tags asked for."""
        tags = set(asked.query.get("tags", []))
        found = [self.shown(j) for j in self.jobs.values() if tags <= set(j["tags"])]
        return json_answer({"jobs": found[: int(asked.query["limit"][0])], "count": len(found)})

    def shown(self, job: dict[str, Any]) -> dict[str, Any]:
        """Without the parameters."""
        return {k: v for k, v in job.items() if k != "params"}

    def of_job(self, asked: Asked, number: str, what: str = "") -> Answer:
        """One job's own addresses."""
        if number not in self.jobs:
            return json_answer({"error": {"message": "Job not found", "code": 1291}}, 404)
        job = self.jobs[number]
        if what == "cancel":
            if job["state"]["status"] == "Completed":
                return json_answer({"error": {"message": "already done", "code": 1}}, 409)
            job["state"]["status"] = "Cancelled"
            return Answer(status=204)
        if what == "metrics":
            return json_answer({"usage": {"status": "final", "qpu_charge_time_seconds": 2.5},
                                "timestamps": {"running": "2026-11-01T10:00:05Z"}})  # fmt: skip
        if what == "results":
            return Answer(
                results(job["params"]).encode() if job["state"]["status"] == "Completed" else b"broken"
            )
        return json_answer(self.shown(job) if "exclude_params" in asked.query else job)


def session_token() -> str:
    """An unsigned JWT of an hour, as IBM's identity service gives one for a key."""

    def part(data: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    now = int(time.time())
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'iat': now, 'exp': now + 3600})}.{part({})}"


def results(params: dict[str, Any]) -> str:
    """What an ideal machine reads, in the executor's result schema."""
    from ibm_quantum_schemas.executor import version_2_0 as schema
    from ibm_quantum_schemas.executor.version_2_0 import models
    from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS

    converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS["v2.0"]
    program, _ = converter.decoder(converter.model.model_validate(params))
    items = []
    for item in program.items:
        circuit = from_qiskit(cut(item.circuit)[0])
        chances = np.abs(run_circuit(circuit)) ** 2
        drawn = np.random.default_rng(1).choice(len(chances), program.shots, p=chances / chances.sum())
        bits = ((drawn[:, None] >> np.array(circuit.read)) & 1).astype(bool)
        tensor = models.CompressedTensorModel.from_numpy(bits)
        items.append({"results": {item.circuit.cregs[0].name: tensor}, "metadata": {}})
    kept = params["quantum_program"]
    found = schema.QuantumProgramResultModel(
        data=items, metadata={"chunk_timing": []}, passthrough_data=kept["passthrough_data"],
        semantic_role=kept["semantic_role"],
    )  # fmt: skip
    return str(found.model_dump_json())
