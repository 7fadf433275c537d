"""An evaluation, shown."""

from pumpgan.report.evaluation import table

COUNTS = {"true_positive": 1, "false_positive": 2, "true_negative": 3, "false_negative": 4}


def test_a_confusion_is_of_the_run_s_own_two_classes():
    level = {"image_level": {"accuracy": 0.4, "confusion": COUNTS}}
    shown = table({"scores": level, "classes": ["ground", "spot"]})
    assert "spot" in shown.splitlines()[1] and shown.splitlines()[2].startswith("ground")
    faces = table({"scores": {"confusion": COUNTS}, "classes": ["ground", "eyes", "nose"]})
    assert "defect" in faces and "eyes" not in faces
