import pytest
import typer

from common.interrupts import saying_on_interrupt


def test_ctrl_c_is_one_line_and_130(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, saying_on_interrupt("the run goes on"):
        raise KeyboardInterrupt
    captured = capsys.readouterr()
    assert ended.value.exit_code == 130
    assert (captured.out, captured.err) == ("", "the run goes on\n")


def test_any_other_end_passes_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with saying_on_interrupt("the run goes on"):
        pass
    with pytest.raises(ValueError, match="wrong"), saying_on_interrupt("the run goes on"):
        raise ValueError("wrong")
    assert capsys.readouterr().err == ""
