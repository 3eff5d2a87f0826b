import pytest

from tinyscope.errors import DataError, InputError, StorageError, TinyscopeError, nearest, unknown


@pytest.mark.parametrize(
    ("error", "status"), [(InputError, 2), (DataError, 3), (StorageError, 2), (TinyscopeError, 2)]
)
def test_every_error_has_the_exit_status_of_its_kind(
    error: type[TinyscopeError], status: int
) -> None:
    assert error("x").exit_status == status
    assert issubclass(error, TinyscopeError)


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    assert str(InputError('Unknown study "a\nb\r\nc".')) == 'Unknown study "a b c".'
    assert str(InputError("two  blanks stay")) == "two  blanks stay"


def test_the_nearest_name_is_found_whatever_its_case() -> None:
    assert nearest("RESNET20", ["compact-cnn", "resnet-20", "ResNeXt"]) == "resnet-20"
    assert nearest("horse", ["Horse", "ship"]) == "Horse"


def test_a_name_like_no_other_has_no_nearest_one() -> None:
    assert nearest("xyz", ["compact", "resnet"]) is None
    assert nearest("", ["compact"]) is None
    assert nearest("compact", []) is None


def test_an_unknown_name_is_told_with_the_nearest_one_and_the_command_that_lists_all() -> None:
    line = unknown("recipe", "compct", ["plain", "compact"], see="tinyscope list recipes")
    assert line == (
        'Unknown recipe "compct". Did you mean "compact"? '
        'Run "tinyscope list recipes" to see all 2.'
    )


def test_an_unknown_name_like_no_other_is_told_with_the_number_of_names() -> None:
    line = unknown("model", "zzz", iter(["b", "a", "c"]), see="tinyscope list models")
    assert line == (
        'Unknown model "zzz". Expected one of 3 names. Run "tinyscope list models" to see all 3.'
    )
