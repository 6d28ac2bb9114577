"""The machine's devices, found and dealt out to workers."""

from pilotage.devices.slice import DeviceKind, DeviceSlice

__all__ = ["DeviceKind", "DeviceSlice"]
