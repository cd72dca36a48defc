from __future__ import annotations

from importlib import metadata

from sports_clip_pipeline.reporting.provenance import (
    describe_towers,
    machine,
    package_versions,
)


def test_absent_packages_are_left_out():
    versions = package_versions(["numpy", "no-such-package-anywhere"])

    assert versions["numpy"] == metadata.version("numpy")
    assert set(versions) == {"python", "numpy"}


def test_a_tower_whose_features_were_all_kept_names_no_backend():
    audit = {
        "image_encoder": "lite2",
        "text_encoder": "minilm",
        "weights_sha256": {"image": "a" * 64, "text": "b" * 64},
        "backends": {"image": {"chosen": "onnxruntime"}},
    }

    assert describe_towers(audit) == {
        "image": "lite2, weights aaaaaaaaaaaa…, by onnxruntime",
        "text": "minilm, weights bbbbbbbbbbbb…",
    }


def test_the_machine_is_described_in_words():
    assert machine().endswith("cores")
