"""What a run of a downstream model can be told: classifier, segmenter, and the encoder of a trained SemanticGAN.

Knows no torch, as config.py.
"""

from dataclasses import dataclass

from pumpgan.train.config import RunConfig, option


@dataclass(frozen=True)
class ValidatedConfig(RunConfig):
    """What all models have in common that are judged on photographs held out of the train split."""

    batch: int = option(16, "Images a step.")
    rate: float = option(1e-4, "Adam's learning rate.")
    validate_every: int = option(400, "Steps between two validations; the best network so far is kept.")
    validation_share: float = option(0.2, "Part of the train split's photographs that is held out, drawn by seed.")
    patience: int = option(0, "Validations without a better one after which training ends early; 0: never.")
    mirror: bool = option(False, "Mirror images at random, as far as the dataset says that it leaves them plausible.")
    colour: float = option(
        0.0, "Strength of random light, and of RGB images colour, drawn anew each time; 1: moderate, 0: none."
    )

    @classmethod
    def at_least(cls) -> dict[str, float]:
        return super().at_least() | {"validate_every": 1.0, "patience": 0.0, "colour": 0.0}

    @classmethod
    def above_zero(cls) -> tuple[str, ...]:
        return (*super().above_zero(), "rate")

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.validation_share < 1:
            raise ValueError(f"--validation-share: must be between 0 and 1, got {self.validation_share}")


@dataclass(frozen=True)
class ClassifierConfig(ValidatedConfig):
    """ResNet-18 that tells defects from good images."""

    batch: int = option(64, "Images a step.")
    threshold: float = option(0.5, "A defect is what is found likelier than this.")
    oversample: int = option(
        0, "Draw images of defects as often as if there were this many more of them: weighted sampling; 0: as they are."
    )
    class_balanced: bool = option(False, "Weigh the loss so that rare classes count as much as common ones.")
    encoder_weights: str = option("", "File of weights to begin with, all but the last layer's; none: random ones.")

    @classmethod
    def at_least(cls) -> dict[str, float]:
        return super().at_least() | {"oversample": 0.0}

    def __post_init__(self):
        super().__post_init__()
        check_threshold(self.threshold)


@dataclass(frozen=True)
class SegmenterConfig(ValidatedConfig):
    """FPN over se_resnext50_32x4d that finds the pixels of defects, or of any classes."""

    batch: int = option(8, "Images a step.")
    threshold: float = option(0.9, "Of two classes, the second is what is found likelier than this.")
    class_balanced: bool = option(False, "Add a cross-entropy that weighs rare classes as much as common ones.")
    encoder_weights: str = option("", "File of weights that its encoder begins with; none: random ones.")

    def __post_init__(self):
        super().__post_init__()
        check_threshold(self.threshold)


@dataclass(frozen=True)
class EncoderConfig(ValidatedConfig):
    """Encoder of a trained SemanticGAN, through which that finds the labels of photographs.

    Two steps as Li et al. 2021, arXiv:2104.05833, take them: towards images alone, and towards images and labels.
    """

    resolution: int = option(0, "Side of the images; it must be that of the GAN's, which 0 stands for.")
    run: str = option("", "The run of the trained SemanticGAN; its newest averaged generator is built upon.")
    perceptual: str = option("none", "File of VGG-16's weights, as torchvision publishes them, for LPIPS; or none.")
    backbone: str = option("resnet50", "What the images go through first.", ("resnet50", "resnet18"))
    width: int = option(512, "Channels behind it.")
    mirror: bool = option(True, "Mirror images at random, as far as the dataset says that it leaves them plausible.")
    rate: float = option(1e-3, "Adam's learning rate, until it falls.")
    rate_least: float = option(1e-5, "What the rate falls to, as half a cosine.")
    rate_from: int = option(30_000, "Step from which it falls.")
    rate_until: int = option(100_000, "Step at which it is least.")
    pixel_weight: float = option(1.0, "Weight of the squared error of the redrawn image.")
    perceptual_weight: float = option(10.0, "Weight of its LPIPS.")
    entropy_weight: float = option(1.0, "Weight of the labels' cross-entropy.")
    dice_weight: float = option(1.0, "Weight of their Dice loss.")
    entropy_temperature: float = option(0.1, "What the label logits are divided by, for the cross-entropy and in use.")
    dice_temperature: float = option(0.3, "Likewise for the Dice loss.")
    clip_unlabelled: float = option(2.0, "Longest gradient of a step towards images alone.")
    clip_labelled: float = option(5.0, "Longest gradient of a step towards images and labels.")
    threshold: float = option(0.5, "Of two classes, the second is what is found likelier than this.")

    @classmethod
    def at_least(cls) -> dict[str, float]:
        weights = ("pixel_weight", "perceptual_weight", "entropy_weight", "dice_weight")
        return super().at_least() | dict.fromkeys((*weights, "rate_from"), 0.0) | {"width": 1.0, "rate_until": 1.0}

    @classmethod
    def above_zero(cls) -> tuple[str, ...]:
        temperatures = ("entropy_temperature", "dice_temperature")
        return (*super().above_zero(), "rate_least", *temperatures, "clip_unlabelled", "clip_labelled")

    def __post_init__(self):
        super().__post_init__()
        check_threshold(self.threshold)
        if self.rate_least > self.rate:
            raise ValueError(f"--rate-least: must be at most --rate, {self.rate:g}, got {self.rate_least:g}")
        if self.rate_until <= self.rate_from:
            raise ValueError(f"--rate-until: must be after --rate-from, {self.rate_from}, got {self.rate_until}")


def check_threshold(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"--threshold: must be between 0 and 1, got {value}")
