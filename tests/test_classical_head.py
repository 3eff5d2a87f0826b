import pickle
from io import BytesIO
from zipfile import ZipFile

import numpy as np
import pytest
import sklearn
import torch

from tinyscope.errors import StorageError
from tinyscope.features.classical import CLASSIFIERS, LANDMARKS, fitted
from tinyscope.models.classical_head import ClassicalHead, classical_head


def clouds(classes=3, count=40, features=6):
    rng = np.random.default_rng(0)
    labels = np.arange(count) % classes
    values = rng.normal(size=(count, features)) + 2.5 * np.eye(classes, features)[labels]
    return values.astype(np.float16), labels.astype(np.int64)


@pytest.fixture(scope="module")
def models():
    return {
        (name, classes): fitted(name, *clouds(classes), seed=0)
        for name in CLASSIFIERS
        for classes in (2, 3)
    }


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_its_likeliest_class_is_what_the_model_predicts(models, name, classes):
    model = models[name, classes]
    values, labels = clouds(classes)
    logits = ClassicalHead(model, classes)(torch.from_numpy(values))
    assert logits.shape == (40, classes)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    predicted = model.predict(values.astype(np.float32))
    assert (logits.argmax(1).numpy() == predicted).all()
    assert (predicted == labels).mean() > 0.85


@pytest.mark.parametrize(
    "name", ["logistic-regression", "nearest-neighbours", "random-forest", "gradient-boosting"]
)
def test_probabilities_come_back_from_its_logits(models, name):
    values, _ = clouds()
    logits = ClassicalHead(models[name, 3], 3)(torch.from_numpy(values))
    expected = models[name, 3].predict_proba(values.astype(np.float32))
    np.testing.assert_allclose(logits.double().softmax(1), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["linear-svm", "rbf-svm"])
def test_an_svm_gives_its_margins(models, name):
    values, _ = clouds()
    logits = ClassicalHead(models[name, 3], 3)(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(
        logits, models[name, 3].decision_function(values.astype(np.float32)), rtol=1e-5
    )


def test_a_class_that_was_not_learnt_is_never_the_answer():
    values, labels = clouds(3)
    for name in ("logistic-regression", "linear-svm"):
        model = fitted(name, values[labels != 1], labels[labels != 1], seed=0)
        logits = ClassicalHead(model, 4)(torch.from_numpy(values))
        assert set(logits.argmax(1).tolist()) == {0, 2}


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_it_comes_back_from_a_file_with_the_same_answers(models, name, classes):
    values = torch.from_numpy(clouds(classes)[0])
    head = ClassicalHead(models[name, classes], classes)
    again = classical_head(head.as_bytes(), classes=classes, features=6, file="c.skops")
    assert torch.equal(again(values), head(values))


@pytest.mark.parametrize("name", sorted(set(CLASSIFIERS) - {"nearest-neighbours"}))
def test_balanced_classes_count_alike_however_many_images_they_have(name):
    """A rare class is answered more often, as scikit-learn's own sample weights would have it."""
    rng = np.random.default_rng(1)
    labels = (np.arange(1200) % 20 == 0).astype(np.int64)
    values = (rng.normal(size=(1200, 4)) + 1.2 * labels[:, None]).astype(np.float32)
    asked = (rng.normal(size=(400, 4)) + 1.2).astype(np.float32)
    plain, balanced = (
        fitted(name, values, labels, seed=0, balanced=each).predict(asked).mean()
        for each in (False, True)
    )
    assert balanced > plain + 0.05


def test_a_feature_beyond_half_precision_is_cut_off_as_in_training(models):
    values, _ = clouds()
    values = torch.from_numpy(values).float()
    values[0, 0] = 1e5
    cut = values.clone()
    cut[0, 0] = 65504.0
    head = ClassicalHead(models["logistic-regression", 3], 3)
    assert torch.equal(head(values), head(cut))


def test_features_count_in_half_precision_as_they_were_when_it_was_fitted(models):
    head = ClassicalHead(models["random-forest", 3], 3)
    values = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))
    assert torch.equal(head(values), head(values.half()))


class Foreign:
    """Something that is no model of scikit-learn."""


def test_a_file_with_anything_else_in_it_is_refused():
    from skops.io import dumps

    with pytest.raises(StorageError) as told:
        classical_head(dumps(Foreign()), classes=3, features=6, file="c.skops")
    assert str(told.value) == (
        "c.skops holds test_classical_head.Foreign, which no model of this tool consists of."
    )


@pytest.mark.parametrize(
    "content", [b"", b"no zip", pickle.dumps([1])], ids=["empty", "text", "pickle"]
)
def test_a_damaged_file_is_told_by_its_name(content):
    with pytest.raises(StorageError) as told:
        classical_head(content, classes=3, features=6, file="c.skops")
    assert str(told.value).startswith("c.skops is damaged: ")


@pytest.mark.parametrize(
    "held", ["a list", "no model", "unfitted", "other features", "other classes"]
)
def test_a_file_whose_model_cannot_answer_is_told(models, held):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler
    from skops.io import dumps

    model = models["logistic-regression", 3]
    content = {
        "a list": [1, 2],
        "no model": StandardScaler().fit(clouds()[0]),
        "unfitted": LogisticRegression(),
    }.get(held, model)
    classes = 2 if held == "other classes" else 3
    features = 5 if held == "other features" else 6
    with pytest.raises(StorageError) as told:
        classical_head(dumps(content), classes=classes, features=features, file="c.skops")
    assert str(told.value).startswith("c.skops is damaged: ")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("schema", ["[]", "{}", "null"])
def test_a_file_with_another_schema_is_told(models, schema):
    held = BytesIO()
    with ZipFile(held, "w") as file:
        file.writestr("schema.json", schema)
    with pytest.raises(StorageError, match=r"c\.skops is damaged: "):
        classical_head(held.getvalue(), classes=3, features=6, file="c.skops")


def test_a_model_with_numbers_that_are_none_is_told():
    model = fitted("logistic-regression", *clouds(), seed=0)
    model[-1].coef_[0, 0] = np.nan
    content = ClassicalHead(model, 3).as_bytes()
    with pytest.raises(StorageError) as told:
        classical_head(content, classes=3, features=6, file="c.skops")
    assert str(told.value) == "c.skops is damaged: its answers are no finite numbers."


def test_a_file_that_was_cut_off_is_told(models):
    whole = ClassicalHead(models["logistic-regression", 3], 3).as_bytes()
    emptied = BytesIO()
    with ZipFile(emptied, "w"):
        pass
    for content in (whole[: len(whole) // 2], emptied.getvalue()):
        with pytest.raises(StorageError):
            classical_head(content, classes=3, features=6, file="c.skops")


def test_a_head_of_another_scikit_learn_is_told_in_one_line(models, monkeypatch, caplog):
    model = models["logistic-regression", 3]
    here = sklearn.__version__
    with monkeypatch.context() as then:
        then.setattr(sklearn.base, "__version__", "1.5.0")
        content = ClassicalHead(model, 3).as_bytes()
    head = classical_head(content, classes=3, features=6, file="c.skops")
    values = torch.from_numpy(clouds()[0])
    assert torch.equal(head(values), ClassicalHead(model, 3)(values))
    assert [record.message for record in caplog.records] == [
        f"c.skops was fitted by scikit-learn 1.5.0 and is read by {here}: its answers may be "
        "others. Install scikit-learn==1.5.0 for those that were measured."
    ]


def test_a_head_that_this_scikit_learn_cannot_read_is_told_with_the_version_that_can(models):
    content = BytesIO(ClassicalHead(models["logistic-regression", 3], 3).as_bytes())
    with ZipFile(content) as file:
        schema = file.read("schema.json").replace(b"LogisticRegression", b"OldRegression")
    renamed = BytesIO()
    with ZipFile(renamed, "w") as file:
        file.writestr("schema.json", schema)
    with pytest.raises(StorageError) as told:
        classical_head(renamed.getvalue(), classes=3, features=6, file="c.skops", fitted_by="1.5.0")
    assert str(told.value).startswith(
        f"c.skops was fitted by scikit-learn 1.5.0, and {sklearn.__version__} cannot read it ("
    )
    assert str(told.value).endswith("): install scikit-learn==1.5.0.")


class Loss:
    """As a part of scikit-learn that another version has."""

    __module__ = "sklearn._loss.old"


def test_a_part_that_only_another_scikit_learn_knows_is_told_with_that_version():
    from skops.io import dumps

    content, asked = dumps(Loss()), {"classes": 3, "features": 6, "file": "c.skops"}
    with pytest.raises(StorageError) as told:
        classical_head(content, **asked, fitted_by="1.5.0")
    assert str(told.value) == (
        f"c.skops was fitted by scikit-learn 1.5.0, and {sklearn.__version__} cannot read it (it "
        "does not know sklearn._loss.old.Loss): install scikit-learn==1.5.0."
    )
    for same in (sklearn.__version__, None):
        with pytest.raises(StorageError, match="which no model of this tool consists of"):
            classical_head(content, **asked, fitted_by=same)


def test_an_rbf_svm_of_few_images_is_exact():
    from sklearn.metrics.pairwise import rbf_kernel
    from sklearn.svm import SVC

    values, labels = clouds(2)
    assert len(values) < LANDMARKS
    model = fitted("rbf-svm", values, labels, seed=0)
    scaled = model[0].transform(values.astype(np.float32))
    mapped = model[1].transform(scaled)
    np.testing.assert_allclose(mapped @ mapped.T, rbf_kernel(scaled, gamma=1 / 6), atol=1e-3)
    svc = SVC(C=1.0, gamma=1 / 6).fit(scaled, labels)
    assert (model.predict(values.astype(np.float32)) == svc.predict(scaled)).mean() > 0.95
