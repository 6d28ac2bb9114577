"""Reading traces: the forms they come in, and what is wrong with them."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.errors import UsageError
from pilotage.prove.arrivals import Trace, read_trace, replay
from pilotage.prove.arrivals import trace_file as trace_file_module

VIDUR = """\
arrived_at,num_prefill_tokens,num_decode_tokens
0.0,374,44
4.314579,396,109
4.541877,879,55
"""

AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens\r
2023-11-16 18:15:46.6805900,374,44\r
2023-11-16 18:15:50.9951690,396,109\r
2023-11-17 00:00:00,879,55"""

AZURE_2024 = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10T02:00:01.509930+02:00,2399,6
"""

BURST_GPT = """\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,"GPT-4, turbo",1087,0,1087,API log
"""

MOONCAKE = """\
{"timestamp": 0, "input_length": 1053, "output_length": 26, "hash_ids": [0, 773, 774]}
{"timestamp": 27, "input_length": 28, "output_length": 445, "hash_ids": [298]}
{"timestamp": 3000, "input_length": 2252, "output_length": 35, "hash_ids": [0, 709, 710, 11, 3]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "calls.csv"


def read(file: Path, content: str | bytes) -> Trace:
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_trace(file)


def refusal(file: Path, content: str | bytes) -> str:
    with pytest.raises(UsageError) as refused:
        read(file, content)
    text = str(refused.value)
    assert text.isprintable()
    assert refused.value.hint
    return text.replace(str(file), "FILE")


class TestForms:
    def test_vidurs_form_of_the_azure_trace(self, file: Path) -> None:
        trace = read(file, VIDUR)

        assert trace.times_s.tolist() == [0, 4.314579, 4.541877]
        assert trace.prompt_tokens.tolist() == [374, 396, 879]
        assert trace.completion_tokens.tolist() == [44, 109, 55]
        assert trace.prompt_tokens.dtype == trace.completion_tokens.dtype == np.int64
        assert trace.prefix_ids is None
        assert trace.name == "calls.csv"

    def test_the_original_azure_trace_has_dates(self, file: Path) -> None:
        trace = read(file, AZURE)

        # Across midnight, and with seven digits, of which the last is dropped.
        assert trace.times_s.tolist() == [0, 4.314579, 20_653.31941]
        assert trace.completion_tokens.tolist() == [44, 109, 55]

    def test_dates_with_zones(self, file: Path) -> None:
        assert read(file, AZURE_2024).times_s.tolist() == [0, 1.5]

    def test_other_columns_between_and_quotes(self, file: Path) -> None:
        trace = read(file, BURST_GPT)

        assert trace.times_s.tolist() == [0, 40]
        assert trace.prompt_tokens.tolist() == [472, 1087]
        assert trace.completion_tokens.tolist() == [18, 0]

    def test_mooncake(self, file: Path) -> None:
        trace = read(file, MOONCAKE)

        assert trace.times_s.tolist() == [0, 0.027, 3]
        assert trace.prompt_tokens.tolist() == [1053, 28, 2252]
        assert trace.completion_tokens.tolist() == [26, 445, 35]
        assert trace.prefix_ids == ((0, 773, 774), (298,), (0, 709, 710, 11, 3))

    def test_times_start_at_zero(self, file: Path) -> None:
        trace = read(
            file, "timestamp,prompt_tokens,completion_tokens\n1700000000.5,1,1\n1700000002,1,1\n"
        )

        assert trace.times_s.tolist() == [0, 1.5]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiters_order_and_case(self, file: Path, delimiter: str) -> None:
        content = "Output-Tokens,id,INPUT_TOKENS,Arrival Time\n7,a,5,1\n8,b,6,3\n"

        trace = read(file, content.replace(",", delimiter))

        assert trace.times_s.tolist() == [0, 2]
        assert trace.prompt_tokens.tolist() == [5, 6]
        assert trace.completion_tokens.tolist() == [7, 8]

    @pytest.mark.parametrize(
        ("name", "in_csv", "in_json"),
        [
            ("timestamp", 2000, 2),
            ("arrived_at", 2000, 2000),
            ("timestamp_ms", 2, 2),
            ("time_s", 2000, 2000),
        ],
    )
    def test_the_unit_follows_from_the_name(
        self, file: Path, name: str, in_csv: float, in_json: float
    ) -> None:
        table = f"{name},input_length,output_length\n0,1,1\n2000,1,1\n"
        objects = "\n".join(
            json.dumps({name: time, "input_length": 1, "output_length": 1}) for time in (0, 2000)
        )

        assert read(file, table).times_s[-1] == pytest.approx(in_csv)
        assert read(file, objects).times_s[-1] == pytest.approx(in_json)

    def test_dates_in_json(self, file: Path) -> None:
        lines = [
            f'{{"timestamp": "2024-05-10T00:00:0{second}Z", "prompt_tokens": 1, '
            '"completion_tokens": 2}'
            for second in (1, 4)
        ]

        assert read(file, "\n".join(lines)).times_s.tolist() == [0, 3]

    def test_some_requests_without_ids(self, file: Path) -> None:
        head = '"input_length": 9, "output_length": 1'
        lines = [
            f'{{"timestamp": 1, {head}}}',
            f'{{"timestamp": 2, {head}, "hash_ids": [4]}}',
            f'{{"timestamp": 3, {head}, "hash_ids": null}}',
        ]

        assert read(file, "\n".join(lines)).prefix_ids == ((), (4,), ())

    @pytest.mark.parametrize("content", [VIDUR, MOONCAKE])
    def test_a_byte_order_mark_and_blank_lines_are_nothing(self, file: Path, content: str) -> None:
        spaced = "\ufeff" + content.replace("\n", "\n  \n\n")

        assert read(file, spaced).times_s.tolist() == read(file, content).times_s.tolist()

    def test_whole_numbers_written_as_floats(self, file: Path) -> None:
        trace = read(file, VIDUR.replace("374", "374.0").replace("109", " 1.09e2 "))

        assert trace.prompt_tokens[0] == 374
        assert trace.completion_tokens[1] == 109

    def test_a_pipe_will_do(self, file: Path) -> None:
        reader, writer = os.pipe()
        os.write(writer, VIDUR.encode())
        os.close(writer)
        try:
            assert len(read_trace(f"/dev/fd/{reader}")) == 3
        finally:
            os.close(reader)

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        rows=st.lists(
            st.tuples(st.integers(0, 10_000_000), st.integers(0, 10**8), st.integers(0, 10**8)),
            min_size=1,
            max_size=30,
        ).map(sorted),
        as_json=st.booleans(),
    )
    def test_what_is_written_is_read_and_replayed(
        self, file: Path, rows: list[tuple[int, int, int]], as_json: bool
    ) -> None:
        names = ("timestamp", "input_length", "output_length")
        if as_json:
            content = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
        else:
            text = io.StringIO()
            writer = csv.writer(text)
            writer.writerows([names, *((ms / 1000, *lengths) for ms, *lengths in rows)])
            content = text.getvalue()

        trace = read(file, content)

        passed = [(row[0] - rows[0][0]) / 1000 for row in rows]
        assert trace.times_s.tolist() == pytest.approx(passed, abs=1e-9)
        assert trace.times_s[0] == 0
        assert trace.prompt_tokens.tolist() == [row[1] for row in rows]
        assert trace.completion_tokens.tolist() == [row[2] for row in rows]
        assert np.array_equal(replay(trace).times_s, trace.times_s)


class TestRefusals:
    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"none\.csv: there is no such file. Give a trace"):
            read_trace(tmp_path / "none.csv")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="is a folder"):
            read_trace(tmp_path)

    def test_not_a_path(self) -> None:
        with pytest.raises(UsageError, match="is not a path"):
            read_trace("a\0b")

    def test_a_link_to_itself(self, file: Path) -> None:
        file.symlink_to(file)
        with pytest.raises(UsageError, match=r"cannot be read \(Too many levels"):
            read_trace(file)

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_locked_file(self, file: Path) -> None:
        file.write_text(VIDUR)
        file.chmod(0)
        with pytest.raises(UsageError, match="may not be read"):
            read_trace(file)

    @pytest.mark.parametrize("content", ["", "\n", " \r\n\t\n"])
    def test_empty(self, file: Path, content: str) -> None:
        assert refusal(file, content).startswith("FILE: is empty")

    def test_only_names(self, file: Path) -> None:
        assert "FILE: has column names but no requests" in refusal(file, VIDUR.splitlines()[0])

    @pytest.mark.parametrize(
        "content",
        [
            b"\x1f\x8b\x08\x00\x00\x00" + bytes(range(256)),
            b"\x89PNG\r\n\x1a\n" + bytes(100),
            VIDUR.encode("utf-16"),
            VIDUR.encode() + b"5,\xff\xfe,1\n",
            bytes(5_000_000),
        ],
    )
    def test_not_text(self, file: Path, content: bytes) -> None:
        assert "is not text. Give a trace as an uncompressed CSV or JSONL" in refusal(file, content)

    def test_a_line_without_end(self, file: Path) -> None:
        assert "FILE:5: the line is longer than 1,024 KiB" in refusal(file, VIDUR + "1" * 3_000_000)

    def test_a_quote_without_end(self, file: Path) -> None:
        content = VIDUR + '5,"9,9\n' + "6,9,9\n" * 100_000
        assert "is not CSV (field larger than field limit" in refusal(file, content)

    def test_a_header_without_end(self, file: Path) -> None:
        assert "FILE:1: is not CSV" in refusal(file, "a" * 200_000 + ",b\n1,2\n")

    def test_a_missing_column_names_the_nearest(self, file: Path) -> None:
        text = refusal(file, VIDUR.replace("num_prefill_tokens", "num_prefil_token"))

        assert "FILE:1: there is no column for the prompt's length." in text
        assert 'Should "num_prefil_token" be "num_prefill_tokens"?' in text

    @pytest.mark.parametrize(
        ("header", "what", "named"),
        [
            ("when,prompt_tokens,completion_tokens", "a time of arrival", "Name it arrived_at, "),
            ("time,words,completion_tokens", "the prompt's length", "Name it num_prefill_tokens"),
            ("time,prompt_tokens,words", "the completion's length", "Name it num_decode_tokens"),
        ],
    )
    def test_a_missing_column(self, file: Path, header: str, what: str, named: str) -> None:
        text = refusal(file, f"{header}\n1,2,3\n")

        assert f"there is no column for {what}. {named}" in text
        assert f'The columns are "{header.replace(",", chr(34) + ", " + chr(34))}".' in text

    def test_no_header(self, file: Path) -> None:
        text = refusal(file, VIDUR.partition("\n")[2])

        assert "FILE:1: the first line has numbers" in text

    @pytest.mark.parametrize("first", ["{}", '{"a": 1}'])
    def test_missing_names_in_json(self, file: Path, first: str) -> None:
        assert "FILE:1: there is no column for a time of arrival" in refusal(file, first)

    def test_a_name_missing_later_in_json(self, file: Path) -> None:
        text = refusal(file, MOONCAKE + '{"timestamp": 4000, "input_length": 1}')

        assert 'FILE:4: has no "output_length"' in text

    @pytest.mark.parametrize(
        ("row", "complaint"),
        [
            ("5,abc,1", 'num_prefill_tokens is not a number: "abc"'),
            ("5,,1", 'num_prefill_tokens is not a number: ""'),
            ("5,1_0,1", 'num_prefill_tokens is not a number: "1_0"'),
            ("5,1,0x10", 'num_decode_tokens is not a number: "0x10"'),
            ("5,-1,1", 'num_prefill_tokens is negative: "-1"'),
            ("5,nan,1", 'num_prefill_tokens is not finite: "nan"'),
            ("5,1,inf", 'num_decode_tokens is not finite: "inf"'),
            ("5,1.5,1", 'num_prefill_tokens is not whole: "1.5"'),
            ("5,1,100000001", 'num_decode_tokens is too large: "100000001"'),
            ("5,1,1e400", 'num_decode_tokens is not finite: "1e400"'),
            ("nan,1,1", 'arrived_at is not finite: "nan"'),
            ("-5,1,1", 'arrived_at is negative: "-5"'),
            ("soon,1,1", 'arrived_at is neither a number nor a date: "soon"'),
            ("2023-13-01,1,1", 'arrived_at is neither a number nor a date: "2023-13-01"'),
            ("2023-11-16 18:15:46,1,1", "some times are numbers and some are dates"),
            ("5e9,1,1", "comes 5e+09 s after the first request. Give arrived_at in units of 1 s"),
            ("5,1", "has 2 columns, and the header 3"),
            ("5,1,1,1", "has 4 columns, and the header 3"),
        ],
    )
    def test_a_row_that_is_wrong(self, file: Path, row: str, complaint: str) -> None:
        assert f"FILE:5: {complaint}" in refusal(file, f"{VIDUR}{row}\n6,1,1\n")

    def test_a_number_after_dates(self, file: Path) -> None:
        assert "some times are numbers" in refusal(file, AZURE + "\n5,1,1")

    @pytest.mark.parametrize(
        ("content", "line", "now", "before"),
        [
            (VIDUR + "\n4.5,1,1\n", 6, '"4.5"', '"4.541877"'),
            (AZURE + "\n2023-11-16 23:00:00,1,1", 5, '"2023-11-16 23:00:00"', '"2023-11-17 '),
            (
                MOONCAKE + '{"timestamp": 26, "input_length": 1, "output_length": 1}',
                4,
                "26",
                "3000",
            ),
        ],
    )
    def test_out_of_order(self, file: Path, content: str, line: int, now: str, before: str) -> None:
        text = refusal(file, content)

        assert f"FILE:{line}: goes back in time: " in text
        assert f"is {now}, after {before}" in text
        assert "Sort the requests by their time" in text

    @pytest.mark.parametrize(
        ("fields", "complaint"),
        [
            ('"input_length": "abc"', 'input_length is not a number: "abc"'),
            ('"input_length": null', "input_length is not a number: null"),
            ('"input_length": true', "input_length is not a number: true"),
            ('"input_length": [1]', "input_length is not a number: a list"),
            ('"input_length": {}', "input_length is not a number: an object"),
            ('"input_length": -4', "input_length is negative: -4"),
            (f'"input_length": 1{"0" * 400}', "input_length is "),
            ('"timestamp": false', "timestamp is not a number: false"),
            ('"hash_ids": 4', "hash_ids is not a list of whole numbers: 4"),
            ('"hash_ids": [1, "a"]', "hash_ids is not a list of whole numbers: a list"),
            ('"hash_ids": [true]', "hash_ids is not a list of whole numbers: a list"),
            ('"hash_ids": [1, 2, 3, 4]', "hash_ids names 4 blocks, and 600 tokens are 2 at most"),
        ],
    )
    def test_json_values_that_are_wrong(self, file: Path, fields: str, complaint: str) -> None:
        # The last of two equal keys is the one that counts.
        row = f'{{"timestamp": 4000, "input_length": 600, "output_length": 1, {fields}}}'

        assert f"FILE:4: {complaint}" in refusal(file, MOONCAKE + row)

    @pytest.mark.parametrize(
        "line",
        ['{"timestamp": NaN}', '{"timestamp": 1', "{", "[1]", "1", "null", "{" * 9, '{"a":' * 5000],
    )
    def test_lines_that_are_not_json_objects(self, file: Path, line: str) -> None:
        assert "FILE:4: is not a JSON object (" in refusal(file, MOONCAKE + line)

    def test_a_json_list(self, file: Path) -> None:
        text = refusal(file, "[\n{}\n]")

        assert "FILE:1: is a JSON list" in text
        assert "jq -c '.[]'" in text

    def test_control_characters_stay_out_of_messages(self, file: Path) -> None:
        text = refusal(file, "time,prompt_tokens,completion_tokens,\x1b[2J\n1,\x1b[31mred,1,\n")

        assert "\\x1b[31mred" in text
        refusal(file, "\x1b[2J,\x07b\n1,2\n")

    def test_too_many_requests(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trace_file_module, "MAX_REQUESTS", 2)

        assert "FILE: has more than 2 requests. Cut it: head -n 2 FILE" in refusal(file, VIDUR)

    def test_too_many_blocks(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(trace_file_module, "_MAX_BLOCKS", 5)

        assert "FILE:3: hash_ids has more than 5 ids" in refusal(file, MOONCAKE)

    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        start=st.sampled_from([b"", VIDUR.encode(), MOONCAKE.encode(), AZURE.encode(), b"{", b"["]),
        junk=st.binary(max_size=60) | st.text(max_size=60).map(str.encode),
    )
    def test_nothing_but_a_usage_error_comes_of_junk(
        self, file: Path, start: bytes, junk: bytes
    ) -> None:
        file.write_bytes(start + junk)
        try:
            trace = read_trace(file)
        except UsageError as error:
            assert str(error).isprintable()
            assert error.hint
            return
        assert len(trace) > 0
        assert np.all(np.diff(trace.times_s) >= 0)
