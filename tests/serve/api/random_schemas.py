"""Random JSON Schemas: most of what the checker lets through, and much of what it does not."""

import random
from typing import Any

from pilotage.serve.api.json_schema import FORMATS

NAMES = ["a", "b", "c d", "é", "x-1", "$k", "日本", "a.b", "", "a/b", "#", "x~y", "items", "type",
         "a'b", "[z]", "(q)", "\u2028", "😀", "a|b", "{", "\x7f"]  # fmt: skip
TEXTS = ["", "a", "é", 'a"b', "a\\b", "a\nb", "\x00", "😀", "//", "\u2028", "[x]", "(a|b)*"]
ATOMS = ["a", "Z", "0", "-", "_", " ", "/", "\\d", "\\w", "\\.", "\\-", "\\[", "[a-z]", "[A-Z]",
         "[a-c.]", "[\\d.]", "[ab|]", "[-a]", "[a\\-z]", "[$]", "[{}]", "[(]", "[\\w-]", ":", "@",
         "\\$", "\\^", "\\|", "'", "~", "#", "[ ]", "=", "<", "[\\\\]", "[~'/]", "&"]  # fmt: skip
REPEATS = ["", "", "", "?", "*", "+", "{2}", "{1,3}", "{0,2}", "{2,}", "{0,}"]
NUMBERS = [0, 1, -1, 0.5, 9, 10, 99, 100, -100, 123456, 10**9, -(10**12)]


class RandomSchemas:
    """Draws schemas.

    Args:
        seed: Of the generator.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._references: list[str] = []

    def draw(self) -> dict[str, Any]:
        """A schema, with definitions that refer to each other at times."""
        names = ["x", "y.z", "Z-9"][: self._below(4)] if self._chance(0.4) else []
        self._references = [f"#/$defs/{name}" for name in names] + ["#"] * self._below(2)
        definitions = {name: self._schema(1) for name in names}
        schema = self._schema(0)
        if not isinstance(schema, dict):
            return self.draw()
        return schema | ({"$defs": definitions} if definitions else {})

    def _schema(self, depth: int) -> Any:
        kinds = [self._string, self._number, self._values, lambda _: {"type": "boolean"}]
        if self._references and depth:
            kinds.append(lambda _: {"$ref": self._random.choice(self._references)})
        if depth < 4:
            several = lambda at: [self._schema(at + 1) for _ in range(1 + self._below(3))]  # noqa: E731
            kinds += [self._object, self._object, self._array, self._array]
            kinds += [lambda at: {"anyOf": several(at)}, lambda at: {"allOf": several(at)[:1]}]
            kinds += [lambda _: {}, lambda _: True]
        schema = self._random.choice(kinds)(depth)
        if isinstance(schema, dict) and isinstance(schema.get("type"), str) and self._chance(0.1):
            schema["type"] = list(dict.fromkeys([schema["type"], "null", "string"]))
        return schema

    def _object(self, depth: int) -> dict[str, Any]:
        names = self._random.sample(NAMES, self._below(4))
        schema: dict[str, Any] = {"type": "object"}
        if names or self._chance(0.5):
            schema["properties"] = {name: self._schema(depth + 1) for name in names}
        if self._chance(0.6):
            schema["required"] = [name for name in names if self._chance(0.6)]
        if self._chance(0.5):
            more = [True, False, self._schema(depth + 1)]
            schema["additionalProperties"] = self._random.choice(more)
        return schema

    def _array(self, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array"}
        if self._chance(0.8):
            schema["items"] = self._random.choice([True, False] + [self._schema(depth + 1)] * 6)
        if self._chance(0.3):
            schema["prefixItems"] = [self._schema(depth + 1) for _ in range(1 + self._below(3))]
        for name in ("minItems", "maxItems"):
            if self._chance(0.4):
                schema[name] = self._random.choice([0, 1, 2, 3, 5, 10, 1000])
        return schema

    def _string(self, _: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        match self._below(4):
            case 0:
                schema |= {"minLength": self._below(4), "maxLength": self._below(9)}
            case 1:
                schema["pattern"] = f"^{self._pattern(0)}$"
            case 2:
                schema["format"] = self._random.choice(sorted(FORMATS))
        return schema

    def _pattern(self, depth: int) -> str:
        text = ""
        for _ in range(1 + self._below(3)):
            if depth < 2 and self._chance(0.25):
                inner = "|".join(self._pattern(depth + 1) for _ in range(1 + self._below(3)))
                atom = f"({self._random.choice(['', '?:'])}{inner})"
            else:
                atom = self._random.choice(ATOMS)
            text += atom + self._random.choice(REPEATS)
        return text

    def _number(self, _: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": self._random.choice(["integer", "number"])}
        for name in ("inimum", "aximum"):
            if self._chance(0.6):
                prefix = self._random.choice(["m", "m", "exclusiveM"])
                schema[prefix + name] = self._random.choice(NUMBERS)
        return schema

    def _values(self, _: int) -> dict[str, Any]:
        if self._chance(0.4):
            return {"const": self._value(0)}
        return {"enum": [self._value(0) for _ in range(1 + self._below(4))]}

    def _value(self, depth: int) -> Any:
        simple = [None, True, False, *TEXTS, 0, -1, 2**53 - 1, 0.5, -1.25, 1e-7, 1.5e10, -0.0]
        if depth < 3 and self._chance(0.3):
            inner = [self._value(depth + 1) for _ in range(self._below(3))]
            return inner if self._chance(0.5) else dict(zip(TEXTS[2:], inner, strict=False))
        return self._random.choice(simple)

    def _below(self, limit: int) -> int:
        return self._random.randrange(limit)

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability
