import json

import numpy as np
import pytest

from pilotage.engines.encoders.pooled import pooled
from pilotage.engines.encoders.pooling import Pooling
from pilotage.errors import ModelError, UnsupportedModelError

TOKENS = np.array([[3.0, 0.0], [1.0, 4.0], [2.0, 2.0]], np.float32)


def write(folder, *kinds, **config):
    modules = [
        {"idx": n, "path": "" if n == 0 else f"{n}_{kind}", "type": f"sentence_transformers.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    for module in modules[1:]:
        (folder / module["path"]).mkdir()
        (folder / module["path"] / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("config", "vector"),
    [
        ({"pooling_mode_mean_tokens": True}, [2.0, 2.0]),
        ({"pooling_mode_cls_token": True}, [3.0, 0.0]),
        ({"pooling_mode_max_tokens": True}, [3.0, 4.0]),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, [6 / 3**0.5, 6 / 3**0.5]),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, [3.0, 0.0, 2.0, 2.0]),
        ({"pooling_mode": "max"}, [3.0, 4.0]),
    ],
)
def test_modes(tmp_path, config, vector):
    pooling = Pooling.of_folder(write(tmp_path, "Transformer", "Pooling", **config))
    assert not pooling.normalize
    assert pooled(pooling, TOKENS) == pytest.approx(vector)
    assert pooling.width(2) == len(vector)


def test_normalize(tmp_path):
    folder = write(tmp_path, "Transformer", "Pooling", "Normalize", pooling_mode_cls_token=True)
    assert pooled(Pooling.of_folder(folder), TOKENS) == pytest.approx([1.0, 0.0])


def test_without_modules_the_mean_is_normalised(tmp_path):
    assert Pooling.of_folder(tmp_path) == Pooling(("mean",), normalize=True)


@pytest.mark.parametrize(
    ("kinds", "config", "message"),
    [
        (("Transformer", "Pooling", "Dense"), {}, "the module Dense"),
        (("Transformer", "Pooling"), {"pooling_mode_lasttoken": True}, "lasttoken"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, kinds, config, message):
    with pytest.raises(UnsupportedModelError, match=message):
        Pooling.of_folder(write(tmp_path, *kinds, **config))


@pytest.mark.parametrize("text", ["{", "[1]", "{}x", '[{"type": "a.Pooling", "path": "../up"}]'])
def test_damaged_lists(tmp_path, text):
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(ModelError):
        Pooling.of_folder(tmp_path)
