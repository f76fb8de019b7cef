from __future__ import annotations

import pytest

from dae.config.preflight import check_config, find_problems
from dae.config.settings import stages_to_run
from dae.errors import ConfigError
from helpers import composed


def told(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        check_config(composed(*overrides))
    return str(caught.value)


def test_the_defaults_are_accepted():
    check_config(composed())


def test_what_has_a_default_in_the_signature_may_be_left_out():
    check_config(composed("~trainer.precision", "~trainer.check_val_every_n_epoch", "~dae.optimizer.betas"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("classifier.epochs=ten", "classifier.epochs: found 'ten', expected a valid integer"),
        ("classifier.epochs=1.0", "classifier.epochs: found 1.0, expected a valid integer"),
        ("classifier.epochs=true", "classifier.epochs: found True, expected a valid integer"),
        ("dae.epochs=-1", "dae.epochs: found -1, expected greater than or equal to 0"),
        ("dae.noise.p=1", "dae.noise.p: found 1, expected less than 1"),
        ("dae.noise.p=nan", "dae.noise.p: found nan, expected a finite number"),
        ("seed='0'", "seed: found '0', expected a valid integer"),
        ("name=a/b", "name: found 'a/b', expected match pattern"),
        ("stage=bth", "expected 'both', 'dae', 'classifier' or 'data'\n      try stage=both"),
        ("data.validation=0", "data.validation: found 0, expected greater than 0"),
        ("data.validation=tset", "try data.validation=test"),
        ("data.labels=10/klass", "data.labels: found '10/klass', expected a valid integer or match pattern"),
        ("data.channels=2", "data.channels: found 2, expected 1 or 3"),
        ("data.image_size=30", "data.image_size: found 30, expected a multiple of 4"),
        ("dae.encoder.widths=[32,16]", "dae.encoder.widths: found [32, 16]"),
        ("dae.optimizer.lr=-1", "dae.optimizer: Invalid learning rate: -1"),
        ("dae.optimizer.lr=fast", "dae.optimizer.lr: found 'fast', expected a valid number"),
        ("+dae.optimizer.lrr=1", "no key 'lrr' in dae.optimizer"),
        ("+dae.optimizer.lrr=1", "try dae.optimizer.lr=1"),
        ("+dae.nois.p=0.3", "try dae.noise.p=0.3"),
        ("+dae.lr=0.1", "try dae.optimizer.lr=0.1"),
        ("+sed=1", "no key 'sed' in the config\n      try seed=1"),
        ("+dae.noise.std=0.4", "try dae/noise=gaussian dae.noise.std=0.4"),
        ("+dae.optimizer.momentum=0.9", "try dae/optimizer=sgd dae.optimizer.momentum=0.9"),
        ("+encoder.widths=[8,8,8]", "try 'dae.encoder.widths=[8, 8, 8]'"),
        ("+trainer.max_time=00:01:00:00", "trainer.max_time: a limit is the system's"),
        ("trainer.val_check_interval=1.5", "trainer: You have passed invalid value 1.5"),
        ("trainer.sync_batchnorm=1", "trainer.sync_batchnorm: found 1, expected a valid boolean"),
        ("+trainer.max_epochs=3", "trainer.max_epochs: the epochs of a stage are its own: dae.epochs, class"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run: a quick try is debug=smoke"),
        ("+trainer.logger=false", "'logger=[tensorboard,csv]'"),
        ("+trainer.gradient_clip=3", "try trainer.gradient_clip_val=3"),
        ("dae.noise=gaussian", "groups have a slash: try dae/noise=gaussian"),
        ("dae.noise=0.4", "(block, dropout, gaussian, mask, none, salt_pepper)"),
        ("dae.noise._target_=dae.models.noise.Gausian", "'dae.models.noise.Gausian' cannot be had"),
        ("dae.noise._target_=torch.nn.Linear", "dae.noise.in_features: is missing"),
        ("dae.noise={_target_: torch.nn.Dropout}", "found a Dropout, expected a dae Noise"),
        ("callbacks.pictures.count=0", "callbacks.pictures.count: found 0, expected greater than 0"),
        ("logger.tensorboard=1", "logger.tensorboard: found 1"),
        ("~data.root", "data.root: is missing"),
        ("data.root=${nowhere}", "Interpolation key 'nowhere' not found"),
        ("data.root=???", "Missing mandatory value"),
        ("trainer.precision=bf16", "trainer.precision: found 'bf16'"),
        ("trainer.precision=16-mixed", "precision=16-mixed is nothing that a CPU trains in"),
        ("threads=0", "threads: found 0, expected greater than 0 or 'auto'"),
    ],
)
def test_one_thing_wrong(override, words):
    assert words in told("trainer=cpu", override)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("classifier=mlp", "classifier.trainable_blocks=all"), "found 'all', but classifier.encoder=none"),
        (
            ("classifier.trainable_blocks=4",),
            "found 4, but the encoder has 3 blocks: expected 0 to 3, or all",
        ),
        (("dae/encoder=resnet", "data.image_size=8"), "give fewer widths, or images of 9 pixels and more"),
        (("classifier=random", "classifier.encoder_checkpoint=x"), "no stage that runs reads it"),
        (("classifier.encoder_checkpoint=nowhere",), "nowhere: no such file or folder"),
        (("objective=classifier/val/acc",), "try objective=classifier/val/accuracy"),
        (("stage=dae", "objective=classifier/val/accuracy"), "expected auto or one of dae/val/loss"),
        (("callbacks=curves", "objective=dae/val/probe_accuracy"), "try 'callbacks=[curves,probe]'"),
        (
            ("classifier=mlp", "callbacks=probe", "objective=dae/val/probe_accuracy"),
            "expected auto or one of classifier/val/accuracy",
        ),
        (("callbacks=early_stopping", "data.validation=test"), "here nothing is chosen"),
        (("dae/noise=block", "dae.noise.size=40"), "a square of 40 pixels has no room in 28 x 28"),
        (("trainer.check_val_every_n_epoch=11",), "dae.epochs=10: no epoch would be validated"),
        (("trainer.devices=2", "data.batch_size=33"), "data.batch_size: found 33"),
    ],
)
def test_rules_between_keys(overrides, words):
    assert words in told(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("dae/encoder=resnet", "dae.encoder.widths=[8,8]"),
        ("dae/encoder=resnet", "dae/decoder=resnet", "data.image_size=30", "dae.encoder.depth=2"),
        ("dae/decoder=resnet", "dae.decoder.widths=[4,8]"),
        ("classifier=finetune", "dae/encoder=resnet", "dae.encoder.widths=[8,8,8,8]"),
        ("classifier=finetune", "classifier.trainable_blocks=3"),
    ],
)
def test_encoders_and_decoders_go_together(overrides):
    assert not find_problems(composed(*overrides))


def test_stage_2_alone_wants_an_encoder():
    assert "train one first: python train.py stage=dae" in told("stage=classifier")
    check_config(composed("stage=classifier", "classifier=mlp"))


def test_all_of_one_round_are_told_together():
    """The schema and the rules in the first round; what the classes say themselves in the second."""
    first = composed("+dae.nois.p=2", "classifier.epochs=ten", "dae.noise.p=2", "objective=x")
    places = [problem.where for problem in find_problems(first)]
    assert sorted(places) == ["classifier.epochs", "dae.nois", "dae.noise.p", "objective"]
    second = composed(
        "dae.optimizer.lr=-1", "trainer.val_check_interval=1.5", "dae/noise=block", "dae.noise.size=40"
    )
    assert {problem.where for problem in find_problems(second)} == {"dae.optimizer", "trainer", "dae.noise"}


def test_a_users_own_code_fails_with_its_file_and_line(tmp_path, monkeypatch):
    (tmp_path / "my_noise.py").write_text(
        "import dae.models.noise as noise\n\n\nclass Loud(noise.Noise):\n"
        "    def __init__(self, volume: float = 1.0) -> None:\n        super().__init__()\n"
        "        self.volume = 1 / (volume - 1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = told("dae/noise=none", "dae.noise._target_=my_noise.Loud", "allow_targets=[my_noise]")
    assert "dae.noise: ZeroDivisionError: float division by zero" in text
    assert f"{tmp_path / 'my_noise.py'}, line 7" in text


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((), ["dae", "classifier"]),
        (("stage=dae",), ["dae"]),
        (("stage=classifier",), ["classifier"]),
        (("classifier=random",), ["classifier"]),
        (("classifier=mlp",), ["classifier"]),
        (("classifier.encoder_checkpoint=x",), ["classifier"]),
        (("stage=dae", "classifier=mlp"), ["dae"]),
    ],
)
def test_stage_1_runs_only_if_somebody_uses_it(overrides, expected):
    assert stages_to_run(composed(*overrides)) == expected
