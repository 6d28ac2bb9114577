import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pilotage.ship.cloudformation import plain, references, template
from pilotage.ship.graph import Attribute, Graph, Join, Parameter, Ref, Resource

QUEUE = Resource(name="Queue", type="AWS::SQS::Queue", properties={"QueueName": "jobs"})


def graph(*resources, **further):
    return Graph(name="stack", description="One line.", resources=resources, **further)


def read(made):
    return yaml.safe_load(template(made))


def test_a_graph_becomes_a_template():
    topic = Resource(
        name="Topic",
        type="AWS::SNS::Topic",
        properties={
            "TopicName": Join(("a-", Ref("AWS::Region"))),
            "Subscription": [{"Protocol": "sqs", "Endpoint": Attribute("Queue", "Arn")}],
            "KmsMasterKeyId": Ref("Key"),
        },
        depends_on=("Queue",),
        retain=True,
        metadata={"checkov": {"skip": [{"id": "CKV_AWS_26", "comment": "why"}]}},
    )
    key = Parameter(name="Key", type="String", default="alias/aws/sns", description="A key.")

    made = read(graph(QUEUE, topic, parameters=(key,), outputs={"Url": Ref("Queue")}))

    assert made == {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "One line.",
        "Parameters": {
            "Key": {"Type": "String", "Default": "alias/aws/sns", "Description": "A key."}
        },
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "jobs"}},
            "Topic": {
                "Type": "AWS::SNS::Topic",
                "DependsOn": ["Queue"],
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Metadata": {"checkov": {"skip": [{"id": "CKV_AWS_26", "comment": "why"}]}},
                "Properties": {
                    "TopicName": {"Fn::Join": ["", ["a-", {"Ref": "AWS::Region"}]]},
                    "Subscription": [
                        {"Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}}
                    ],
                    "KmsMasterKeyId": {"Ref": "Key"},
                },
            },
        },
        "Outputs": {"Url": {"Value": {"Ref": "Queue"}}},
    }


def test_the_order_is_the_graphs():
    names = ["Zebra", "Ape", "Mole"]
    made = read(graph(*(Resource(name=one, type="A::B::C", properties={}) for one in names)))
    assert list(made["Resources"]) == names


def test_the_same_part_twice_is_written_twice():
    shared = {"Key": "team", "Value": "finance"}
    two = [
        Resource(name=name, type="A::B::C", properties={"Tags": [shared]}) for name in ("A", "B")
    ]
    text = template(graph(*two))
    assert "&" not in text
    assert text.count("{Key: team, Value: finance}") == 2


def test_texts_of_several_lines_are_blocks():
    text = template(graph(Resource(name="A", type="A::B::C", properties={"Script": "a\n  b\n"})))
    assert "      Script: |\n        a\n          b\n" in text


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ((QUEUE, QUEUE), '"Queue" is there twice'),
        (
            (Resource(name="my-queue", type="A::B::C", properties={}),),
            '"my-queue" is no logical id: letters and digits only',
        ),
        (
            (Resource(name="A", type="A::B::C", properties={"B": [{"C": Ref("Gone")}]}),),
            'A refers to "Gone", which is not there',
        ),
        (
            (Resource(name="A", type="A::B::C", properties={}, depends_on=("Gone",)),),
            'A depends on "Gone", which is not there',
        ),
        (
            (Resource(name="A", type="A::B::C", properties={"B": {1, 2}}),),
            "a template has no form for set",
        ),
    ],
)
def test_what_cannot_be_right_is_refused(resources, problem):
    with pytest.raises(ValueError, match=problem.replace("(", r"\(")):
        template(graph(*resources))


def test_outputs_of_nothing_are_refused():
    with pytest.raises(ValueError, match='an output refers to "Gone"'):
        template(graph(QUEUE, outputs={"Url": Join(("x", Attribute("Gone", "Arn")))}))


def test_references_are_found_wherever_they_are():
    value = {"a": [Ref("One"), {"b": Join(("x", Attribute("Two", "Arn")))}], "c": "Ref"}
    assert list(references(value)) == ["One", "Two"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner),
    max_leaves=12,
)


@given(values)
def test_what_is_written_is_what_is_read(value):
    resource = Resource(name="A", type="A::B::C", properties={"Value": value})
    assert read(graph(resource))["Resources"]["A"]["Properties"]["Value"] == plain(value)
