"""What is said of the errors of a plan's figures."""

from pilotage.plan.calibration import shipped
from pilotage.plan.option import Configuration, Estimate, Option
from pilotage.plan.precision import find_precision
from pilotage.plan.stated_errors import stated_errors


def option(**relative: float) -> Option:
    configuration = Configuration(strategy="ecs-gpu", precision=find_precision("bf16"))
    estimate = Estimate(
        ttft=None,
        tpot=None,
        e2e=None,
        floor_e2e_s=1.0,
        requests_per_s=1.0,
        output_tokens_per_s=1.0,
        utilisation=0.5,
        relative_error=relative,
    )
    return Option(configuration=configuration, estimate=estimate)


def said(
    option: Option | None, *, measured: bool = True, mixture: bool = False
) -> dict[str, float]:
    found = stated_errors(option, measured=measured, mixture=mixture)
    return {one.name: one.relative for one in found}


def test_measured_accelerators_have_the_errors_of_what_was_left_out() -> None:
    found = said(option())
    assert found["ttft"] == shipped().errors["first_token_latency"]
    assert found["tpot"] >= shipped().errors["saturated_throughput"]
    assert found["e2e"] == max(found["ttft"], found["tpot"])


def test_what_nobody_measured_is_stated_wider_and_mixtures_widest() -> None:
    usual, unseen = said(option()), said(option(), measured=False)
    mixed = said(option(), mixture=True)
    assert all(unseen[name] >= usual[name] for name in usual)
    assert unseen["ttft"] > usual["ttft"]
    assert min(mixed.values()) >= 0.5


def test_a_machine_that_was_measured_states_its_own() -> None:
    assert said(option(ttft=0.1, e2e=0.2)) == {"ttft": 0.1, "e2e": 0.2}


def test_nothing_is_stated_of_what_others_run() -> None:
    assert said(None) == {}
    assert said(Option(configuration=Configuration(strategy="bedrock-on-demand"))) == {}
