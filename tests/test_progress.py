"""The progress bar: silent or on standard error."""

from hybrid.train.run.progress import ProgressBar


def test_a_silent_bar_writes_nothing(capsys):
    with ProgressBar(10, show=False) as bar:
        bar.show(5, 1.0, {"loss": "0.1"})
        bar.say("a line")
    assert capsys.readouterr() == ("", "")


def test_a_bar_shows_figures_speed_and_time_left_on_standard_error(capsys):
    with ProgressBar(100, show=True) as bar:
        bar.show(50, 10.0, {"loss": "0.123", "exact": "0.50"})
        bar.say("features: 1 MB")
        task = bar.progress.tasks[0]
        assert task.completed == 50 and task.fields["eta"] == "0:10"
        assert "loss 0.123" in task.fields["figures"] and "5.0 it/s" in task.fields["figures"]
    out, err = capsys.readouterr()
    assert out == "" and "features: 1 MB" in err


def test_the_time_left_is_the_nearer_of_both_limits():
    with ProgressBar(1000, show=False, max_seconds=90.0) as bar:
        bar.show(10, 20.0, {})
        assert bar.progress.tasks[0].fields["eta"] == "1:10"
        bar.show(999, 20.0, {})
        assert bar.progress.tasks[0].fields["eta"] == "0:00"


def test_a_folder_that_looks_like_a_style_is_told_as_it_is(capsys):
    ProgressBar(3, show=True).say("features: 1 MB in /a/[/b] :smile:")
    assert capsys.readouterr().err == "features: 1 MB in /a/[/b] :smile:\n"
