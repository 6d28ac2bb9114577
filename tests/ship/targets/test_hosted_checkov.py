import pytest
from hosted_shipments import ENDPOINTS, FUNCTIONS, kinds
from judges import CHECKOV, checkov_findings

from pilotage.ship.targets import target_of


@pytest.mark.skipif(not CHECKOV.is_file(), reason="checkov is not installed")
def test_checkov_finds_nothing_that_is_not_explained(tmp_path):
    for name, shipment in kinds({**ENDPOINTS, **FUNCTIONS}).items():
        rendered = target_of(shipment.target).render(shipment)
        (tmp_path / f"{name}.yaml").write_text(rendered.files["template.yaml"])
    failed, skipped, passed = checkov_findings(tmp_path)
    assert failed == []
    assert passed > 100
    assert ("public.yaml", "AWS::Lambda::Url.FunctionUrl", "CKV_AWS_258") in skipped
