from __future__ import annotations

import pytest

from dae.config.arms import stages_to_run
from dae.config.settings import check_config, find_problems
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
        ("classifier.epochs=ten", "classifier.epochs: found 'ten', expected an integer >= 0"),
        ("classifier.epochs=1.0", "classifier.epochs: found 1.0, expected an integer >= 0"),
        ("classifier.epochs=true", "classifier.epochs: found True, expected an integer >= 0"),
        ("dae.epochs=-1", "dae.epochs: found -1, expected an integer >= 0"),
        ("dae.noise.p=1", "dae.noise.p: found 1, expected a number >= 0, < 1"),
        ("dae.noise.p=nan", "dae.noise.p: found nan"),
        ("seed='0'", "seed: found '0', expected an integer >= 0"),
        ("seed=[0,1]", "to sweep over the values: -m seed=0,1"),
        ("name=a/b", "name: found 'a/b', expected a string matching"),
        ("name='my run'", "try name=my_run"),
        (
            "stage=bth",
            "found 'bth', expected 'both' or 'dae' or 'classifier' or 'data'\n      try stage=both",
        ),
        (
            "data.source=mnits",
            "expected one of mnist, fashion_mnist, kmnist, digits, image_folder; the nearest",
        ),
        (
            "data.validation=0",
            "data.validation: found 0, expected an integer > 0 or a number > 0, < 1 or 'test'",
        ),
        ("data.validation=tset", "try data.validation=test"),
        ("data.labels=10/klass", "expected an integer > 0 or '10/class' (at most so many of each) or null"),
        ("data.least_steps=0", "data.least_steps: found 0, expected an integer > 0, <= 1e+06"),
        ("data.least_steps=1000000000000", "expected an integer > 0, <= 1e+06"),
        ("data.in_memory=0", "data.in_memory: found 0, expected true or false"),
        ("data.augment=-1", "data.augment: found -1, expected an integer >= 0"),
        ("data.channels=2", "data.channels: found 2, expected 1 or 3"),
        ("data.image_size=30", "data.image_size: found 30, expected an integer >= 8, a multiple of 4"),
        ("dae.encoder.widths=[32,16]", "expected a list of 3 (an integer > 0 each)"),
        ("dae.optimizer.lr=-1", "dae.optimizer: Adam refuses its arguments: Invalid learning rate: -1"),
        ("dae.optimizer.lr=fast", "dae.optimizer.lr: found 'fast'"),
        ("+dae.optimizer.lrr=1", "the nearest is dae.optimizer.lr\n      try dae.optimizer.lr=1"),
        ("+dae.nois.p=0.3", "no key 'nois' in dae"),
        ("+dae.nois.p=0.3", "try dae.noise.p=0.3"),
        ("+dae.lr=0.1", "try dae.optimizer.lr=0.1"),
        ("+sed=1", "no key 'sed' at the top level"),
        ("+dae.noise.std=0.4", "; dae/noise=gaussian has it\n      try dae/noise=gaussian dae.noise.std=0.4"),
        ("+dae.optimizer.momentum=0.9", "try dae/optimizer=sgd dae.optimizer.momentum=0.9"),
        ("+dat=mnist", "the nearest is data\n      try data=mnist"),
        ("+dea.noise.p=0.3", "the nearest is dae\n      try dae.noise.p=0.3"),
        ("+encoder.widths=[8,8,8]", "try 'dae.encoder.widths=[8, 8, 8]'"),
        ("trainer.max_time=soon", "expected days:hours:minutes:seconds like 00:01:30:00"),
        ("trainer.max_time={hour: 1}", "trainer.max_time: found {'hour': 1}, expected"),
        ("trainer.val_check_interval=1.5", "expected an integer > 0 or a number > 0, <= 1"),
        ("trainer.benchmark=perhaps", "trainer.benchmark: found 'perhaps', expected true or false or null"),
        ("trainer.sync_batchnorm=1", "trainer.sync_batchnorm: found 1, expected true or false"),
        ("trainer.limit_predict_batches=all", "found 'all', expected a"),
        ("+trainer.min_epochs=3", "trainer.min_epochs: the epochs of a stage are its own: dae.epochs, class"),
        ("+trainer.max_steps=3", "trainer.max_steps: the epochs of a stage are its own: dae.epochs, class"),
        ("+trainer.fast_dev_run=true", "trainer.fast_dev_run: a quick try is debug=smoke"),
        ("+trainer.overfit_batches=1", "learning one batch by heart is debug=overfit"),
        ("+trainer.logger=false", "'logger=[tensorboard,csv]'"),
        ("+trainer.plugins=[]", "this project sets it itself"),
        ("+trainer.max_epochs=3", "trainer.max_epochs: the epochs of a stage are its own: dae.epochs, class"),
        ("+trainer.gradient_clip=3", "try trainer.gradient_clip_val=3"),
        ("trainer.devices=2", "trainer.devices: found 2, but trainer.strategy=auto trains on one device"),
        ("trainer.devices=[]", "expected an integer > 0 or a list of 1 or more (an integer >= 0 each)"),
        ("+trainer.num_nodes=2", "a run has one machine; several share a sweep"),
        ("dae.noise=gaussian", "groups are written with a slash: try dae/noise=gaussian"),
        ("dae.noise._target_=dae.models.noise.Gausian", "'dae.models.noise.Gausian' cannot be had"),
        ("dae.noise._target_=torch.nn.Linear", "torch.nn.Linear is not a dae Noise"),
        ("dae.optimizer._target_=torch.nn.Linear", "torch.nn.Linear is not a torch Optimizer"),
        ("dae.optimizer._partial_=false", "dae.optimizer._partial_: expected true here"),
        (
            "+logger.mine._target_=pytorch_lightning.loggers.CSVLogger",
            "logger.mine._partial_: is missing: the code adds arguments of its own when it builds this\n"
            "      add the line _partial_: true to its file, or try +logger.mine._partial_=true",
        ),
        ("callbacks.pictures.count=0", "callbacks.pictures.count: found 0, expected an integer > 0"),
        ("logger.tensorboard=1", "logger.tensorboard: found 1"),
        ("~data.root", "data.root: is missing"),
        ("data.root=${nowhere}", "Interpolation key 'nowhere' not found"),
        ("data.root=???", "Missing mandatory value"),
        ("trainer.precision=bf16", "trainer.precision: found 'bf16'"),
        ("trainer.precision=16-mixed", "which a CPU does not train in"),
    ],
)
def test_one_thing_wrong(override, words):
    assert words in told("trainer=cpu", override)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+marks=[a,b]", ", trainer)"),
        ("+frobnicate=1", ", trainer)"),
        ("+trainer.frobnicate=1", ", val_check_interval)"),
        ("+trainer._target=1", ", val_check_interval)"),
        ("+dae.nois.p=2", "; the nearest is dae.noise"),
        ("+dae.noise.std=-1", "; dae/noise=gaussian has it"),
        ("+dae.epoch=ten", "; the nearest is dae.epochs"),
        ("seed=[a,1]", "expected an integer >= 0"),
        ("name='***'", "or null\n      try name=_"),
        ("dae.noise=0.4", "(block, dropout, gaussian, mask, none, salt_pepper)"),
    ],
)
def test_nothing_is_proposed_that_is_far_or_would_be_refused(override, words):
    assert told(override).endswith(words)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("classifier=mlp", "classifier.trainable_blocks=1"),
            "classifier.encoder=none has no blocks to train",
        ),
        (("classifier=mlp", "classifier.trainable_blocks=all"), "found 'all', but classifier.encoder=none"),
        (
            ("classifier.trainable_blocks=4",),
            "found 4, but the encoder has 3 blocks: expected 0 to 3, or all\n"
            "      try classifier.trainable_blocks=all",
        ),
        (
            ("dae/encoder=resnet", "dae.encoder.widths=[8,8]", "classifier.trainable_blocks=3"),
            "found 3, but the encoder has 2 blocks: expected 0 to 2, or all",
        ),
        (("dae/encoder=resnet", "data.image_size=8"), "give fewer widths, or images of 9 pixels and more"),
        (
            ("dae/encoder=resnet", "dae/decoder=resnet", "dae.decoder.image_size=32"),
            "dae.decoder.image_size: found 32, but data.image_size is 28",
        ),
        (("classifier=random", "classifier.encoder_checkpoint=x"), "encoder=random reads no checkpoint"),
        (("stage=dae", "classifier.encoder_checkpoint=x"), "stage=dae trains no classifier"),
        (("classifier.encoder_checkpoint=nowhere",), "nowhere: no such file or folder"),
        (("stage=classifier", "classifier=random", "dae.warm_start=x"), "stage 1 does not run"),
        (("objective=classifier/val/acc",), "try objective=classifier/val/accuracy"),
        (("stage=dae", "objective=classifier/val/accuracy"), "expected auto or one of dae/val/loss"),
        (
            ("callbacks=[pictures,curves]", "objective=dae/val/probe_accuracy"),
            "only the callback probe measures, and it is not among these\n"
            "      try 'callbacks=[pictures,curves,probe]'",
        ),
        (("callbacks=none", "objective=dae/test/psnr_mask"), "try 'callbacks=[robustness]'"),
        (
            ("classifier=mlp", "callbacks=probe", "objective=dae/val/probe_accuracy"),
            "expected auto or one of",
        ),
        (("callbacks=early_stopping", "data.validation=test"), "would choose on the test set"),
        (("dae/noise=block", "dae.noise.size=40"), "found 40, expected at most data.image_size=28"),
        (("trainer.check_val_every_n_epoch=11",), "dae.epochs=10: no epoch would be validated"),
        (("trainer.limit_val_batches=0",), "found 0, expected an integer > 0 or a number > 0, <= 1"),
        (
            ("trainer.precision=16-mixed", "trainer.gradient_clip_val=1.0"),
            "dae.optimizer.fused: found true, but a fused optimizer hides the scaled gradients",
        ),
        (("data.in_memory=false",), "data.source=mnist is read as a whole; image_folder is not"),
        (("data.augment=28",), "data.augment: found 28, expected less than data.image_size=28"),
        (("data.limit=10", "data.labels=20"), "data.labels: found 20, expected at most data.limit=10"),
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


def test_stage_2_alone_wants_an_encoder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "train one first: python train.py stage=dae data=mnist" in told("stage=classifier")
    mine = ("data=digits", "data.root=my images", "data.validation=50", "allow_targets=[mine]")
    expected = "data=digits 'data.root=\"my images\"' data.validation=50 'allow_targets=[mine]'"
    assert told("stage=classifier", *mine).endswith(expected)
    check_config(composed("stage=classifier", "classifier=mlp"))


def test_everything_at_once():
    problems = find_problems(
        composed(
            "+dae.nois.p=2", "classifier.epochs=ten", "dae.noise.p=2", "objective=x", "data.image_size=30"
        )
    )
    places = [problem.where for problem in problems]
    # The size reaches encoder and decoder by interpolation, and is told once, where it is set.
    assert sorted(places) == ["classifier.epochs", "dae.nois", "dae.noise.p", "data.image_size", "objective"]


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
