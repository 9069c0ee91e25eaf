"""The error tree: stable, complete, and drawn as it is."""

from kubeagent import errors


def test_every_code_is_unique_and_has_advice() -> None:
    classes = [error for _, error in errors.tree()]
    assert len({error.code for error in classes}) == len(classes)
    assert all(error.__doc__ and error.advice for error in classes)


def test_the_drawing_in_the_module_shows_every_class_and_code() -> None:
    drawing = errors.__doc__ or ""
    for _, error in errors.tree():
        assert error.__name__ in drawing
        if error is not errors.KubeAgentError:
            assert f" {error.code} " in drawing


def test_a_denied_command_names_its_layer() -> None:
    denied = errors.CommandDenied("L3-arguments", "flag --server is not allowed")
    assert (denied.layer, denied.message) == ("L3-arguments", "flag --server is not allowed")
