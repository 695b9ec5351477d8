if __name__ != "trine.devices":
    raise ImportError("this folder is part of Trine: install it (make .venv) and import trine.devices")

from trine.devices.budgets import Battery as Battery
from trine.devices.budgets import ThermalLimit as ThermalLimit
from trine.devices.budgets import Workload as Workload
from trine.devices.budgets import batteries as batteries
from trine.devices.budgets import battery as battery
from trine.devices.budgets import thermal_limits as thermal_limits
from trine.devices.budgets import workloads as workloads
from trine.devices.figures import Benchmark as Benchmark
from trine.devices.figures import Fact as Fact
from trine.devices.figures import Figure as Figure
from trine.devices.figures import Series as Series
from trine.devices.load import all_devices as all_devices
from trine.devices.load import device_names as device_names
from trine.devices.load import load_device as load_device
from trine.devices.records import Device as Device
from trine.devices.records import EdgeDevice as EdgeDevice
from trine.devices.records import NeuroChip as NeuroChip
from trine.devices.records import QuantumDevice as QuantumDevice
