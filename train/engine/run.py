"""Paths, device and logging of a run, and its state in memory and on disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor
from torch import device as Device
from torch.optim import Optimizer

from texneg.errors import InputError
from texneg.train.data.loader import Batches
from texneg.train.data.sources import Loader
from texneg.train.distributed import rank
from texneg.train.engine import checkpoint
from texneg.train.engine.checkpoint import Saver
from texneg.train.engine.graph import Graphs, RecordedStep
from texneg.train.engine.metrics import Meter, truncate_after
from texneg.train.engine.optimiser import Optimisation
from texneg.train.engine.writers import METRICS, check_writers
from texneg.train.methods import Method
from texneg.train.negatives.negative_pass import Teaching
from texneg.train.networks.encoder import FORMAT, Encoder, export_encoder
from texneg.train.objectives import Objective


@dataclass(frozen=True)
class Run:
    """Paths, device, loading and logging: everything that may change when a run is resumed."""

    data: str = ""
    """Training images: class folders, a flat folder or tar shards; their `train` split if there is one."""
    textures: str = ""
    """Textures for negatives of kind texture, made by `texneg synth` from the same images; empty: those
    beside the images in their tars, as `texneg synth --layout paired` writes them."""
    groups: str = ""
    """Groups for --exclude group: a CSV file with columns name and group, such as clusters of features."""
    out: str = ""
    """Run folder; empty: runs/RECIPE-sSEED. A folder with a checkpoint is resumed."""
    arm: str = ""
    """Name of the run's arm in reports; empty: its negatives, and settings in which runs differ."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    workers: int = 0
    """Loader processes of each training process; 0 loads in the training process itself."""
    loader: Loader = "auto"
    """files: images decoded at each access; memory: read once, reduced to the side of --resident; cache:
    those of --cache; device: as memory, on the training device, where views are made, too; auto: cache or
    memory where --cache or --resident is given, else files."""
    cache: str = ""
    """Cache that `texneg cache` made of the same --data; sets --resident to the side of its images."""
    loader_timeout: int = 0
    """Seconds without a batch from the loader processes after which the run is saved and ends; 0: 600, or 3
    for each image of a batch if that is more."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints."""
    keep_every: int = 0
    """Epochs between two encoders that are kept, as encoder-EPOCH.pt; 0 for none."""
    knn_every: int = 0
    """Epochs between two measurements of kNN accuracy; 0 for none."""
    compile: bool = False
    """Compile the networks with torch.compile: half a minute at the start, other rounding, and on a CPU
    hardly faster."""
    graphs: Graphs = "auto"
    """Record a step as a CUDA graph; auto: on one GPU, for views of at most 96 pixels."""
    log_to: tuple[Literal["tensorboard", "wandb"], ...] = ()
    """Receivers of metrics besides metrics.jsonl: tensorboard (files in the run folder), wandb."""
    stop_after: int | None = None
    """Stop after this many steps and save; the same command goes on."""

    def check(self) -> None:
        """Refuse values outside their range.

        Raises:
            InputError: naming the flag and what it may be.
        """
        for wrong, message in (
            (not self.data, "no --data: name the folder or tar shards with the training images"),
            (self.workers < 0, f"--workers {self.workers}: 0 or more"),
            (self.loader_timeout < 0, f"--loader-timeout {self.loader_timeout}: seconds, 0 for the usual"),
            (
                min(self.log_every, self.checkpoint_every) < 1,
                "--log-every and --checkpoint-every: at least 1 step",
            ),
            (self.knn_every < 0, f"--knn-every {self.knn_every}: epochs, 0 for never"),
            (self.keep_every < 0, f"--keep-every {self.keep_every}: epochs, 0 for never"),
            (
                self.stop_after is not None and self.stop_after < 1,
                f"--stop-after {self.stop_after}: at least 1 step",
            ),
        ):
            if wrong:
                raise InputError(message)
        check_writers(self.log_to)


@dataclass
class Training:
    """A run in memory: all that a step needs and changes."""

    run: Run
    folder: Path
    identity: dict[str, Any]
    """Recipe, seed and settings, which may not change when the run goes on."""
    batches: Batches
    teaching: Teaching
    """Steps in which there are negatives."""
    method: Method
    objective: Objective
    optimiser: Optimizer
    optimisation: Optimisation
    device: Device
    data: str
    """Fingerprint of the images."""
    textures: str
    """Fingerprint of their textures; empty without."""
    monitor: Callable[[Encoder], float] | None
    """Online kNN accuracy in percent, in the first process."""
    log: Callable[[str], None]
    recorded: RecordedStep | None = None
    """Computes gradients where steps are recorded."""
    bar: bool = False
    """Show a progress bar in place of lines of progress."""
    labels: Tensor | None = None
    """Classes of all images (n,), if they are known."""
    saver: Saver = field(default_factory=Saver)
    meter: Meter = field(default_factory=Meter)
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Spent on them, over all calls."""

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch."""
        return self.batches.steps_per_epoch

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.optimisation.epochs * self.epoch_steps

    @property
    def info(self) -> dict[str, Any]:
        """Origin of the encoder: recipe, seed, settings, step and data."""
        return {**self.identity, "step": self.step, "steps": self.total, "data": self.data}

    def export(self) -> dict[str, Any]:
        """Return the content of `encoder.pt` at this step."""
        return export_encoder(self.method.encoder, info=self.info)

    def is_due(self, epochs: int) -> bool:
        """Return True if the step done is the last of an epoch, of every `epochs` one; 0 is never."""
        return epochs > 0 and self.step % (epochs * self.epoch_steps) == 0

    def save(self, *, keep: bool = False) -> None:
        """Begin to write the checkpoint, from the first process alone; the encoder in it shares tensors.

        With `keep` the encoder is written to a file of its own, too.
        """
        meter, teaching = self.meter.state(), self.teaching.state()
        if rank() > 0:
            return
        encoder = self.export()
        content = {
            "format": FORMAT,
            "identity": self.identity,
            "data": self.data,
            "textures": self.textures,
            "step": self.step,
            "seconds": self.seconds,
            "method": self.method.state_dict(),
            "optimizer": self.optimiser.state_dict(),
            "meter": meter,
            "teaching": teaching,
            "encoder": encoder,
        }
        kept = {self.folder / f"encoder-{self.step // self.epoch_steps}.pt": encoder} if keep else {}
        self.saver.save({**kept, self.folder / checkpoint.CHECKPOINT: content})

    def resume(self) -> None:
        """Go back to the folder's checkpoint, if there is one.

        Raises:
            InputError: a checkpoint of other settings, other data or another architecture.
        """
        path = self.folder / checkpoint.CHECKPOINT
        if path.is_file():
            saved = checkpoint.load(path, self.identity, data=self.data, textures=self.textures)
            checkpoint.restore(path, saved, self.method, self.optimiser)
            self.step, self.seconds = saved["step"], saved["seconds"]
            self.meter.restore(saved["meter"], self.device)
            if "teaching" in saved:
                self.teaching.restore(saved["teaching"])
        if rank() == 0:
            with checkpoint.write_errors(self.folder / METRICS):
                truncate_after(self.folder / METRICS, self.step)
