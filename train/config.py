"""The configuration of a pre-training run: frozen parts, each beside the code that it configures."""

from dataclasses import asdict, dataclass, replace
from typing import Any

from texneg.errors import InputError
from texneg.train.data.reading import Reading
from texneg.train.data.views import Augmentation
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.run import Run
from texneg.train.methods import Config, moco
from texneg.train.negatives import Negatives, Patch
from texneg.train.networks.backbone import Architecture
from texneg.train.objectives import Objective
from texneg.train.options import to_plain


@dataclass(frozen=True)
class PretrainConfig:
    """One pre-training run. A run folder belongs to one configuration, of which `run` alone may change."""

    recipe: str = "custom"
    seed: int = 0
    """Seed of weights, image order, views and negatives."""
    reading: Reading = Reading()
    views: Augmentation = Augmentation()
    negatives: Negatives = Negatives.of(Patch())
    method: Config = moco.Config()
    objective: Objective = Objective()
    network: Architecture = Architecture()
    optimisation: Optimisation = Optimisation()
    run: Run = Run()

    @property
    def title(self) -> str:
        """The negatives in words, with their weight."""
        if not self.negatives.kinds:
            return "baseline"
        return f"{self.negatives.title} α={self.objective.loss.alpha:g}"

    def settings(self) -> dict[str, Any]:
        """Everything that decides the result but the seed, as JSON has it.

        Without negatives their weight means nothing and is 0, so that runs that are the same look the same.
        The policy for damaged images and initial weights are there only where they are not the usual ones.
        """
        objective = self.objective.plain()
        if not self.negatives.kinds:
            objective["loss"] |= {"alpha": 0.0} if "alpha" in objective["loss"] else {}
        reading = {"reading": asdict(self.reading)} if self.reading != Reading() else {}
        return {
            **reading,
            "views": asdict(self.views),
            "negatives": self.negatives.plain(),
            "method": to_plain(self.method),
            "objective": objective,
            "network": {k: v for k, v in asdict(self.network).items() if (k, v) != ("init", None)},
            "optimisation": {
                k: v for k, v in asdict(self.optimisation).items() if (k, v) != ("amp_cpu", False)
            },
        }

    def identity(self) -> dict[str, Any]:
        """Everything that may not change when a run goes on."""
        return {"recipe": self.recipe, "seed": self.seed, "settings": self.settings()}

    def baseline(self) -> "PretrainConfig":
        """Return the same run without non-semantic negatives."""
        return replace(self, negatives=Negatives())

    def check(self, *, world: int = 1) -> None:
        """Refuse what cannot train, before anything is opened.

        Args:
            world: number of processes.

        Raises:
            InputError: naming the flag and what it may be.
        """
        batch = self.optimisation.batch
        self.run.check()
        self.views.check()
        self.optimisation.check(world)
        self.method.check(self.network, batch)
        self.network.check(batch, world)
        self.negatives.check(self.views.image_size)
        self.objective.check(self.method.negatives(batch), self.method.name)
        loss, method = self.objective.loss, self.method
        if not (loss.negatives_needed or method.predicts):
            raise InputError(
                f"--loss {loss.name} has no ordinary negatives and --method {method.name} no predictor: all"
                " embeddings would become the same; use another --loss, or --method byol"
            )

    def warnings(self) -> list[str]:
        """Warn of what can be trained and hardly makes sense."""
        return self.objective.warnings(nonsemantic=bool(self.negatives.kinds))

    def check_images(self, n: int) -> str:
        """Refuse a data set of n images that does not fit; return a warning, or nothing.

        Raises:
            InputError: naming a batch or a queue that fits.
        """
        batch = self.optimisation.batch
        if n < batch:
            raise InputError(f"--batch {batch} > data set size {n}: use a smaller batch or more images")
        return self.method.check_images(n, batch)
