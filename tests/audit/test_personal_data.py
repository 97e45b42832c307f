"""Every model states which personal data it holds and how they are erased."""

import pytest
from django.apps import apps
from django.db.models import Model

OURS = [
    model
    for config in apps.get_app_configs()
    if config.name.startswith("featurestore.")
    for model in config.get_models()
]


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_model_states_its_personal_data_and_erasure(model: type[Model]) -> None:
    for name in ("personal_data", "erased_by"):
        statement = getattr(model, name, None)
        assert isinstance(statement, str)
        assert statement.endswith(".")


def test_models_are_found() -> None:
    assert {"Customer", "ConsentRecord", "Finding"} <= {model.__name__ for model in OURS}
