"""Logical ids of the stack's resources, and the names that AWS's side knows them by."""

from __future__ import annotations

from typing import Final

ROLE: Final = "ExecutionRole"
MODEL: Final = "Model"
CONFIG: Final = "EndpointConfig"
ENDPOINT: Final = "Endpoint"
COMPONENT: Final = "InferenceComponent"
LOGS: Final = "Logs"
KEY: Final = "VolumeKey"
OUTPUTS: Final = "Answers"
SUCCESS: Final = "SuccessTopic"
FAILURE: Final = "FailureTopic"
SECURITY_GROUP: Final = "ContainerSecurityGroup"
IMAGE_DIGEST: Final = "ImageDigest"
SCALABLE: Final = "ScalableTarget"
TRACKING: Final = "TargetTracking"
FROM_ZERO: Final = "FromZero"
WAKE: Final = "Wake"

VARIANT: Final = "main"
"""The one production variant."""

LONGEST_NAME: Final = 63
"""Characters of an endpoint's name (SageMaker API reference, CreateEndpoint)."""
