import pytest

from tinyscope.inspection import small_recipe as module
from tinyscope.plan.recipe_book import sprint


def test_tuning_sprint_does_not_change_what_judges_data(monkeypatch: pytest.MonkeyPatch) -> None:
    before = module.small_recipe()
    tuned = sprint().changed(
        {
            "widths": (8, 8),
            "learning_rate": 0.1,
            "label_smoothing": 0.0,
            "training_sizes": (1.0,),
            "epochs": 1,
            "batch_size": 100,
        }
    )
    monkeypatch.setattr(module, "sprint", lambda: tuned)
    assert module.small_recipe() == before
