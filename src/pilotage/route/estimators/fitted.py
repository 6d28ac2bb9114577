"""The local classifier as an estimator: fitted by ``pilotage route calibrate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotage.errors import UsageError
from pilotage.route.call import Call
from pilotage.route.estimate import Estimate

if TYPE_CHECKING:
    from pilotage.route.calibration import Calibration
    from pilotage.route.estimators.classifier import Classifier


class FittedEstimator:
    """Expected quality by the hashed features of the last user message; free and local.

    Args:
        tiers: Names, in the order of the classifier's columns.
        classifier: Fitted on the user's own data.
    """

    def __init__(self, tiers: tuple[str, ...], classifier: Classifier) -> None:
        self._tiers = tiers
        self._classifier = classifier

    @classmethod
    def of(cls, calibration: Calibration) -> FittedEstimator:
        """The estimator of a calibration.

        Raises:
            UsageError: It holds no classifier, or one that cannot be read.
        """
        from pilotage.route.estimators.classifier import Classifier  # noqa: PLC0415  needs NumPy

        if calibration.classifier is None:
            raise UsageError(
                "the calibration holds no classifier",
                where="routing.calibration",
                hint="Calibrate with estimator.kind classifier",
            )
        classifier = Classifier.from_dict(calibration.classifier)
        if len(classifier.estimate_one("")) != len(calibration.tiers):
            raise UsageError(
                "the classifier knows another number of tiers",
                where="routing.calibration",
                hint="Calibrate again",
            )
        return cls(calibration.tiers, classifier)

    async def estimate(self, call: Call) -> Estimate:
        """What the classifier expects of each tier."""
        expected = self._classifier.estimate_one(call.prompt)
        quality = {
            tier: min(1.0, max(0.0, float(value)))
            for tier, value in zip(self._tiers, expected, strict=True)
        }
        return Estimate(quality=quality, note="classifier")
