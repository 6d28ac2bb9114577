"""The life of a stack over moto's HTTP server, on the real code path."""

import time

import boto3
import pytest
from aws_front import (
    ACCOUNT,
    REGION,
    Front,
    Reply,
    events_xml,
    query_error,
    quota,
    stack_xml,
)
from life import NAME, Witness, keeping, lifecycle, no_changes, rendered, shipment, state
from model_server import COMPLETION, ModelServer

from pilotage.errors import ResourceError, TargetError, UsageError
from pilotage.ship.lifecycle.aws_errors import CredentialsError
from pilotage.ship.lifecycle.stack import NameCollisionError
from pilotage.ship.lifecycle.stack_change import FailedStackError

CHANGES = {
    "CreateChangeSet",
    "ExecuteChangeSet",
    "DeleteChangeSet",
    "DeleteStack",
    "ContinueUpdateRollback",
}


def test_apply_status_diff_change_apply_destroy_and_nothing_is_left(front: Front) -> None:
    here, seen = lifecycle(), Witness()
    assert here.status(shipment()).absent

    first = here.apply(shipment(), rendered("one"), agree=seen.agree, say=seen.say)
    assert first.applied
    assert [(one.action, one.name) for one in seen.shown[0].changes] == [
        ("add", "Logs"),
        ("add", "Topic"),
    ]
    assert "CREATE_COMPLETE" in seen.text
    assert here.status(shipment()).state == "CREATE_COMPLETE"

    assert here.diff(shipment(), rendered("one")).empty
    again = here.apply(shipment(), rendered("one"), agree=no_changes, say=seen.say)
    assert not again.applied

    changed = here.diff(shipment(), rendered("two"))
    assert [(one.action, one.name) for one in changed.changes] == [("change", "Topic")]
    assert here.apply(shipment(), rendered("two"), agree=seen.agree, say=seen.say).applied
    assert state()["topics"] == [f"arn:aws:sns:{REGION}:{ACCOUNT}:two"]

    gone = here.destroy(shipment(), agree=seen.agree, say=seen.say)
    assert gone.existed
    assert gone.leftovers == ()
    assert state() == {"stacks": [], "change sets": [], "topics": [], "log groups": []}
    assert not here.destroy(shipment(), agree=no_changes, say=seen.say).existed
    # moto calls a stack complete that lacks what it cannot make.
    assert front.unsupported == []


def test_the_change_set_asks_for_what_was_shown(front: Front) -> None:
    seen = Witness()
    lifecycle().apply(shipment(tags={"team": "x"}), rendered(), agree=seen.agree, say=seen.say)
    (asked,) = front.of("CreateChangeSet")
    assert asked["StackName"] == NAME
    assert asked["ChangeSetType"] == "CREATE"
    assert asked["ImportExistingResources"] == "true"
    assert asked["Parameters.member.1.ParameterKey"] == "DesiredCount"
    assert asked["Parameters.member.1.ParameterValue"] == "2"
    tags = {
        asked[f"Tags.member.{number}.Key"]: asked[f"Tags.member.{number}.Value"]
        for number in (1, 2, 3)
    }
    assert tags == {"pilotage:deployment": "receipts", "pilotage:target": "ecs", "team": "x"}
    assert "AWS::SNS::Topic" in asked["TemplateBody"]


def test_a_difference_leaves_nothing_behind(front: Front) -> None:
    seen = Witness()
    lifecycle().diff(shipment(), rendered())
    assert not CHANGES & set(front.actions())
    lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    before = state()
    lifecycle().diff(shipment(), rendered("two"))
    assert state() == before


def test_who_does_not_agree_changes_nothing(front: Front) -> None:
    no = Witness(answer=False)
    assert not lifecycle().apply(shipment(), rendered(), agree=no.agree, say=no.say).agreed
    assert not CHANGES & set(front.actions())
    yes = Witness()
    lifecycle().apply(shipment(), rendered(), agree=yes.agree, say=yes.say)
    before = state()
    assert not lifecycle().apply(shipment(), rendered("b"), agree=no.agree, say=no.say).agreed
    assert not lifecycle().destroy(shipment(), agree=no.agree, say=no.say).agreed
    assert state() == before


def test_what_is_kept_is_listed_with_its_cost_and_its_end(front: Front) -> None:
    seen = Witness()
    kept = keeping(rendered())
    lifecycle().apply(shipment(), kept, agree=seen.agree, say=seen.say)
    gone = lifecycle().destroy(shipment(), agree=seen.agree, say=seen.say)
    (left,) = gone.leftovers
    assert left.type == "AWS::Logs::LogGroup"
    assert left.id == f"{NAME}/lines"
    assert left.usd_per_month == 0
    assert left.remove is not None
    assert "delete-log-group" in left.remove
    assert gone.hours is not None
    # Again, with nothing there: the list is asked of AWS, and still whole.
    again = lifecycle(purge=True).destroy(shipment(), agree=no_changes, say=seen.say)
    assert again.leftovers == ()
    assert state()["log groups"] == []
    del front


@pytest.mark.parametrize("tags", [[], [{"Key": "pilotage:deployment", "Value": "other"}]])
def test_a_stack_that_is_not_ours_is_never_touched(
    front: Front, tags: list[dict[str, str]]
) -> None:
    boto3.client("cloudformation", region_name=REGION).create_stack(
        StackName=NAME,
        TemplateBody='{"Resources": {"T": {"Type": "AWS::SNS::Topic", "Properties": {}}}}',
        Tags=tags,
    )
    before, here, seen = state(), lifecycle(), Witness()
    front.asked.clear()
    for act in (
        lambda: here.diff(shipment(), rendered()),
        lambda: here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say),
        lambda: here.status(shipment()),
        lambda: here.destroy(shipment(), agree=seen.agree, say=seen.say),
    ):
        with pytest.raises(NameCollisionError, match="name collision"):
            act()
    assert not CHANGES & set(front.actions())
    assert state() == before


def test_a_kept_log_group_of_someone_else_is_not_taken_up(front: Front) -> None:
    boto3.client("logs", region_name=REGION).create_log_group(logGroupName=f"{NAME}/lines")
    seen = Witness()
    with pytest.raises(NameCollisionError, match="log group"):
        lifecycle().apply(shipment(), keeping(rendered()), agree=seen.agree, say=seen.say)
    assert not CHANGES & set(front.actions())


def test_a_token_that_expires_midway_stops_it_and_apply_goes_on(front: Front) -> None:
    seen = Witness()
    front.answers["ExecuteChangeSet"] = query_error("ExpiredToken")
    with pytest.raises(CredentialsError, match="expired") as caught:
        lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert "goes on" in str(caught.value)
    del front.answers["ExecuteChangeSet"]
    assert lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say).applied
    assert [one[1] for one in state()["stacks"]] == ["CREATE_COMPLETE"]
    assert state()["change sets"] == []


def test_without_credentials_nothing_is_tried(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(CredentialsError, match="no AWS credentials"):
        lifecycle().status(shipment())
    assert front.actions() == []


def test_another_account_is_refused(front: Front) -> None:
    seen = Witness()
    with pytest.raises(UsageError, match=f"account {ACCOUNT}") as caught:
        lifecycle().apply(
            shipment(account="999999999999"), rendered(), agree=seen.agree, say=seen.say
        )
    assert caught.value.where == "shipping.account"
    assert front.actions() == ["GetCallerIdentity"]


def test_credentials_of_another_region_are_explained(front: Front) -> None:
    front.answers["GetCallerIdentity"] = query_error("InvalidClientTokenId", status=403)
    with pytest.raises(CredentialsError, match=REGION):
        lifecycle().status(shipment())


def test_a_region_without_the_instances_is_refused(front: Front) -> None:
    seen = Witness()
    front.answers["DescribeInstanceTypeOfferings"] = query_offerings()
    with pytest.raises(UsageError, match=r"has no g5\.2xlarge"):
        lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert not CHANGES & set(front.actions())


def query_offerings():  # type: ignore[no-untyped-def]
    text = (
        "<DescribeInstanceTypeOfferingsResponse><instanceTypeOfferingSet/>"
        "</DescribeInstanceTypeOfferingsResponse>"
    )
    return lambda _: Reply(text, kind="text/xml")


def test_a_quota_that_is_too_small_says_which_and_how_to_ask(front: Front) -> None:
    seen = Witness()
    front.answers["GetServiceQuota"] = quota(8)
    with pytest.raises(ResourceError, match="L-DB2E81BA") as caught:
        lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    # Two replicas of 8 vCPUs at the start, six at most.
    assert "16 are needed" in caught.value.message
    assert "--quota-code L-DB2E81BA --desired-value 48" in str(caught.value.hint)
    assert front.of("GetServiceQuota") == [{"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}]
    assert not CHANGES & set(front.actions())

    front.answers["GetServiceQuota"] = quota(16)
    assert lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say).applied
    assert "not for the most replicas" in seen.text


def test_a_certificate_that_is_not_there_is_refused(front: Front) -> None:
    seen = Witness()
    arn = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/11111111-2222-3333-4444-555555555555"
    with pytest.raises(UsageError, match="no such certificate") as caught:
        lifecycle().apply(
            shipment(network={"certificate_arn": arn}), rendered(), agree=seen.agree, say=seen.say
        )
    assert caught.value.where == "shipping.network.certificate_arn"
    assert not CHANGES & set(front.actions())


def test_a_stack_that_was_rolled_back_is_deleted_and_made_anew(front: Front) -> None:
    here, seen = lifecycle(), Witness()
    here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    client = boto3.client("cloudformation", region_name=REGION)
    old = client.describe_stacks(StackName=NAME)["Stacks"][0]["StackId"]
    front.asked.clear()
    front.answers["DescribeStacks"] = lambda _: (
        None
        if "DeleteStack" in front.actions()
        else stack_xml(
            front, "ROLLBACK_COMPLETE", name=NAME, tags=dict(shipment().tags), stack_id=old
        )
    )
    assert here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say).applied
    assert "ROLLBACK_COMPLETE, is deleted first" in seen.shown[-1].notes[0]
    new = client.describe_stacks(StackName=NAME)["Stacks"][0]
    assert new["StackId"] != old
    assert new["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.parametrize("status", ["ROLLBACK_FAILED", "DELETE_FAILED", "CREATE_FAILED"])
def test_a_stack_that_applying_cannot_mend_says_why_and_what_to_do(
    front: Front, status: str
) -> None:
    seen = Witness()
    front.answers["DescribeStacks"] = lambda _: stack_xml(
        front, status, name=NAME, tags=dict(shipment().tags)
    )
    front.answers["DescribeStackEvents"] = lambda _: events_xml(
        ("Other", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled"),
        ("Service", "AWS::ECS::Service", "DELETE_FAILED", "the cluster has tasks"),
    )
    for act in (
        lambda: lifecycle().diff(shipment(), rendered()),
        lambda: lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say),
    ):
        with pytest.raises(FailedStackError, match="the cluster has tasks") as caught:
            act()
        assert "destroy" in str(caught.value.hint)
    assert not CHANGES & set(front.actions())


def test_a_rollback_that_failed_is_tried_again(front: Front) -> None:
    seen = Witness()
    front.answers["DescribeStacks"] = lambda _: stack_xml(
        front, "UPDATE_ROLLBACK_FAILED", name=NAME, tags=dict(shipment().tags)
    )
    failed = (
        "Listener",
        "AWS::ElasticLoadBalancingV2::Listener",
        "UPDATE_FAILED",
        "no certificate",
    )
    # The state from before is still there right after the call; the event says that it has begun.
    front.answers["DescribeStackEvents"] = lambda _: (
        events_xml(failed)
        if front.actions().count("DescribeStacks") > 2
        and "ContinueUpdateRollback" in front.actions()
        else events_xml()
    )
    front.answers["ContinueUpdateRollback"] = lambda _: Reply(
        "<ContinueUpdateRollbackResponse><ContinueUpdateRollbackResult/>"
        "</ContinueUpdateRollbackResponse>",
        kind="text/xml",
    )
    with pytest.raises(FailedStackError, match="no certificate") as caught:
        lifecycle().apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert "ContinueUpdateRollback" in front.actions()
    assert "finishes the rollback" in str(caught.value.hint)


def test_a_stack_that_fails_says_the_first_failure_and_what_the_replicas_wrote(
    front: Front,
) -> None:
    seen = Witness()
    here = lifecycle()
    logs = boto3.client("logs", region_name=REGION)

    def after_execute(_: object):  # type: ignore[no-untyped-def]
        if "ExecuteChangeSet" not in front.actions():
            return None
        if not logs.describe_log_streams(logGroupName=f"{NAME}/lines")["logStreams"]:
            logs.create_log_stream(logGroupName=f"{NAME}/lines", logStreamName="server/1")
            logs.put_log_events(
                logGroupName=f"{NAME}/lines",
                logStreamName="server/1",
                logEvents=[{"timestamp": int(time.time() * 1000), "message": "CUDA out of memory"}],
            )
        return stack_xml(front, "ROLLBACK_COMPLETE", name=NAME, tags=dict(shipment().tags))

    front.answers["DescribeStacks"] = after_execute
    front.answers["DescribeStackEvents"] = lambda _: (
        events_xml(
            ("Topic", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled"),
            ("Service", "AWS::ECS::Service", "CREATE_FAILED", "did not stabilize"),
        )
        if "ExecuteChangeSet" in front.actions()
        else events_xml()
    )
    # The stack's resources are asked by the ARN that the fake gave.
    front.answers["ListStackResources"] = lambda fields: _by_name(front, fields)
    with pytest.raises(FailedStackError, match="did not stabilize") as caught:
        here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert "Nothing of it runs" in str(caught.value.hint)
    assert "CUDA out of memory" in seen.text


def _by_name(front: Front, fields: dict[str, object]):  # type: ignore[no-untyped-def]
    del front, fields
    return Reply(
        "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries><member>"
        f"<LogicalResourceId>Logs</LogicalResourceId><PhysicalResourceId>{NAME}/lines"
        "</PhysicalResourceId><ResourceType>AWS::Logs::LogGroup</ResourceType><ResourceStatus>"
        "DELETE_SKIPPED</ResourceStatus><LastUpdatedTimestamp>2026-11-22T10:00:00Z"
        "</LastUpdatedTimestamp></member></StackResourceSummaries></ListStackResourcesResult>"
        "</ListStackResourcesResponse>",
        kind="text/xml",
    )


def test_a_completion_is_asked_and_waited_for(front: Front, model: ModelServer) -> None:
    seen = Witness()
    model.replies = [(503, {}), (503, {}), (200, COMPLETION)]
    done = lifecycle(address=model.url, key="k").apply(
        shipment(), rendered(), agree=seen.agree, say=seen.say
    )
    assert done.answered
    assert len(model.asked) == 3
    assert model.asked[0]["path"] == "/v1/chat/completions"
    assert model.asked[0]["headers"]["authorization"] == "Bearer k"
    assert "the model answered" in seen.text
    del front


def test_a_change_that_does_not_answer_is_undone(front: Front, model: ModelServer) -> None:
    seen = Witness()
    here = lifecycle(address=model.url)
    here.apply(shipment(), rendered("one"), agree=seen.agree, say=seen.say)
    before = state()["topics"]
    model.replies = [(404, {"error": "no such model"})]
    with pytest.raises(TargetError, match="no such model") as caught:
        here.apply(shipment(), rendered("two"), agree=seen.agree, say=seen.say)
    assert "What ran before runs again" in str(caught.value.hint)
    assert state()["topics"] == before
    del front


def test_a_new_deployment_that_does_not_answer_is_deleted_unless_kept(
    front: Front, model: ModelServer
) -> None:
    seen = Witness()
    model.replies = [(404, {"error": "no such model"})]
    with pytest.raises(TargetError, match="no such model"):
        lifecycle(address=model.url, keep=True).apply(
            shipment(), rendered(), agree=seen.agree, say=seen.say
        )
    assert lifecycle().status(shipment()).state == "CREATE_COMPLETE"
    lifecycle().destroy(shipment(), agree=seen.agree, say=seen.say)
    with pytest.raises(TargetError, match="no such model") as caught:
        lifecycle(address=model.url).apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert "deleted again" in str(caught.value.hint)
    assert lifecycle().status(shipment()).absent
    del front


def test_a_missing_api_key_undoes_nothing(front: Front, model: ModelServer) -> None:
    seen = Witness()
    model.replies = [(401, {})]
    with pytest.raises(UsageError, match="API key"):
        lifecycle(address=model.url).apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    assert lifecycle().status(shipment()).state == "CREATE_COMPLETE"
    del front


def test_a_state_from_before_is_not_taken_for_the_end(front: Front) -> None:
    """CloudFormation may say UPDATE_COMPLETE, of the last update, right after the next began."""
    here, seen = lifecycle(), Witness()
    here.apply(shipment(), rendered("one"), agree=seen.agree, say=seen.say)
    before = front.actions().count("ExecuteChangeSet")
    looks = [0]

    def late(_: object) -> Reply | None:
        if front.actions().count("ExecuteChangeSet") == before:
            return None
        looks[0] += 1
        return events_xml() if looks[0] < 4 else None

    front.answers["DescribeStackEvents"] = late
    assert here.apply(shipment(), rendered("two"), agree=seen.agree, say=seen.say).applied
    assert looks[0] >= 4
    assert "UPDATE_COMPLETE" in seen.text


def test_a_destroy_waits_for_an_update_before_it_deletes(front: Front) -> None:
    here, seen = lifecycle(), Witness()
    here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say)
    old = boto3.client("cloudformation", region_name=REGION).describe_stacks(StackName=NAME)
    told = stack_xml(
        front,
        "UPDATE_IN_PROGRESS",
        name=NAME,
        tags=dict(shipment().tags),
        stack_id=old["Stacks"][0]["StackId"],
    )
    front.asked.clear()
    front.answers["CancelUpdateStack"] = lambda _: Reply(
        "<CancelUpdateStackResponse/>", kind="text/xml"
    )
    front.answers["DescribeStacks"] = lambda fields: (
        told
        if front.actions().count("DescribeStacks") < 6
        and not str(fields["StackName"]).endswith("-base")
        else None
    )
    assert here.destroy(shipment(), agree=seen.agree, say=seen.say).existed
    order = [one for one in front.actions() if one in {"CancelUpdateStack", "DeleteStack"}]
    assert order == ["CancelUpdateStack", "DeleteStack"]
    assert state()["stacks"] == []


def test_what_is_replaced_or_removed_is_told_apart(front: Front) -> None:
    here, seen = lifecycle(), Witness()
    here.apply(shipment(), rendered(), agree=seen.agree, say=seen.say)

    def change(action: str, name: str, replacement: str, field: str) -> str:
        return (
            "<member><Type>Resource</Type><ResourceChange>"
            f"<Action>{action}</Action><LogicalResourceId>{name}</LogicalResourceId>"
            f"<ResourceType>T</ResourceType><Replacement>{replacement}</Replacement><Details>"
            f"<member><Target><Attribute>Properties</Attribute><Name>{field}</Name></Target>"
            "</member></Details></ResourceChange></member>"
        )

    def page(changes: str, more: str) -> Reply:
        return Reply(
            "<DescribeChangeSetResponse><DescribeChangeSetResult><Status>CREATE_COMPLETE</Status>"
            f"<Changes>{changes}</Changes>{more}</DescribeChangeSetResult>"
            "</DescribeChangeSetResponse>",
            kind="text/xml",
        )

    # In two pages, as AWS gives them.
    front.answers["DescribeChangeSet"] = lambda fields: (
        page(change("Remove", "D", "", "x") + change("Modify", "E", "False", "Tags"), "")
        if "NextToken" in fields
        else page(
            change("Modify", "A", "True", "Name")
            + change("Modify", "B", "Conditional", "Image")
            + change("Dynamic", "C", "", "y"),
            "<NextToken>2</NextToken>",
        )
    )
    found = here.diff(shipment(), rendered("two"))
    assert [(one.action, one.name) for one in found.changes] == [
        ("replace", "A"),
        ("maybe-replace", "B"),
        ("maybe-replace", "C"),
        ("remove", "D"),
        ("change", "E"),
    ]
    assert found.changes[0].fields == ("Properties.Name",)
    assert [one.name for one in found.replaced] == ["A", "B", "C", "D"]
