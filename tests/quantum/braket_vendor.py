"""The part of Braket's and S3's REST interfaces that the SDK uses; tasks are computed by Braket's local simulator."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from cloud_server import Answer, Asked, Vendor, json_answer

SECRET = "aws-secret-nobody-may-see"
DEVICE = "arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet"


class Braket(Vendor):
    """Tasks by ARN and by clientToken; `fate`: the state of new ones; `drop_send`: cut that many answers."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: dict[str, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {}
        self.fate = "COMPLETED"
        self.drop_send = 0
        self.refuse = False

    def answer(self, asked: Asked) -> Answer:
        """By path."""
        if self.refuse:
            return refused("UnrecognizedClientException", 403)
        if asked.path == "/quantum-task":
            return self.create(json.loads(asked.body))
        if asked.path == "/quantum-tasks":
            return json_answer({"quantumTasks": [self.shown(t) for t in self.tasks.values()]})
        if asked.path.startswith("/quantum-task/"):
            return self.of_task(asked, unquote(asked.path.removeprefix("/quantum-task/")))
        return self.stored(asked)

    def create(self, data: dict[str, Any]) -> Answer:
        """The same clientToken gives the same task."""
        token = data["clientToken"]
        if token not in self.tokens:
            arn = f"arn:aws:braket:eu-north-1:123456789012:quantum-task/{len(self.tasks)}"
            self.tokens[token] = arn
            self.tasks[arn] = {**data, "quantumTaskArn": arn, "status": self.fate}
        self.drop_send -= 1
        return json_answer({"quantumTaskArn": self.tokens[token]}, 201, drop=self.drop_send >= 0)

    def shown(self, task: dict[str, Any]) -> dict[str, Any]:
        """As GetQuantumTask has it."""
        kept = ("quantumTaskArn", "status", "deviceArn", "shots", "tags", "outputS3Bucket")
        failed = {"failureReason": "the trap lost its ions"} if task["status"] == "FAILED" else {}
        return {
            **{k: task[k] for k in kept}, "outputS3Directory": folder(task), **failed,
            "deviceParameters": "{}", "createdAt": "2026-11-01T10:00:00Z",
        }  # fmt: skip

    def of_task(self, asked: Asked, rest: str) -> Answer:
        """GetQuantumTask, CancelQuantumTask."""
        arn = rest.removesuffix("/cancel")
        if arn not in self.tasks:
            return refused("ResourceNotFoundException", 404)
        if rest.endswith("/cancel"):
            self.tasks[arn]["status"] = "CANCELLED"
            return json_answer({"quantumTaskArn": arn, "cancellationStatus": "CANCELLED"})
        return json_answer(self.shown(self.tasks[arn]))

    def stored(self, asked: Asked) -> Answer:
        """S3: results.json of the task whose prefix is asked for."""
        for task in self.tasks.values():
            if f"{folder(task)}/results.json" in asked.path:
                return Answer(results(task).encode())
        return Answer(b"<Error><Code>NoSuchKey</Code></Error>", 404, "application/xml")


def folder(task: dict[str, Any]) -> str:
    """Where a task's results lie in its bucket."""
    return f"{task['outputS3KeyPrefix']}/{task['quantumTaskArn'].rsplit('/', 1)[1]}"


def refused(code: str, status: int) -> Answer:
    """AWS's form of an error."""
    return json_answer({"message": code}, status, headers={"x-amzn-ErrorType": code})


def results(task: dict[str, Any]) -> str:
    """What Braket's local simulator measures, in the schema of results."""
    from braket.default_simulator import StateVectorSimulator
    from braket.ir.openqasm import Program

    found = StateVectorSimulator().run(Program.parse_raw(task["action"]), shots=task["shots"])
    return str(found.json())
