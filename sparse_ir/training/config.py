"""A whole experiment as one TOML file, checked before anything is read or computed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sparse_ir.encoders.analyzer import DEFAULT_TITLE_WEIGHT, Analyzer
from sparse_ir.encoders.options import DEFAULT_DENSE_MODEL
from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.training.pseudo_queries import Kind, Split

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


CHEAP_TEACHERS = ("dense", "sparse", "bm25")  # whose scores of a whole collection are a product


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelTable(_Table):
    """What is trained, and where it goes."""

    start: str = "mini"
    """Model folder or shipped model to start from."""
    output: Path = Path("trained")
    name: str = ""
    licence: str = ""
    """Of the finished model, as the hub names it (``apache-2.0``); its card says none without."""
    queries: Literal["lookup", "network"] = "lookup"
    max_length: int | None = Field(default=None, ge=3)
    """Tokens that the finished model reads of a document; None keeps what the start does."""
    prune_ratio: float | None = Field(default=None, ge=0, le=1)
    """Terms below this share of a text's greatest weight are dropped where the finished model's
    network reads the text; None keeps what the start does."""
    chunk: int | None = Field(default=None, ge=1)
    """Documents whose activations are in memory at once; None is all of a batch. This takes the
    place of gradient accumulation: batches stay whole for FLOPS and for negatives."""
    lora_rank: int | None = Field(default=None, ge=1)
    """Train low-rank adapters of the body instead of the whole body."""


class DataTable(_Table):
    """A source of training examples."""

    path: Path
    split: str = "train"
    max_documents: int | None = Field(default=None, ge=1)
    pseudo_queries: tuple[Kind | Split, ...] = ()
    pseudo_per_document: int = Field(default=1, ge=1)
    share: float = Field(default=1.0, gt=0)
    """Of batches, relative to the other sources."""
    scores: Path | None = None
    """Of a BEIR folder: a run (as TREC's) with what the teacher ``file`` says; what it found is
    read too. JSONL has scores of its own."""
    weights: tuple[float, ...] | None = None
    """The teachers' weights here; None fits them to the labels."""
    licence: str = ""
    """For the model card."""


class TeacherTable(_Table):
    """Who labels."""

    kind: Literal["dense", "bm25", "sparse", "cross_encoder", "file", "callable"]
    model: str = DEFAULT_DENSE_MODEL
    """``package:NAME``, folder or hub name; ``module:function`` of a ``callable``, which gives
    (Q, D) scores of Q query texts and D document texts (``sparse-ir train`` also looks for modules
    beside the file)."""
    max_length: int = Field(default=160, ge=3)
    """Tokens that a network reads of a text."""
    weight: float = Field(default=1.0, ge=0)
    """Where the data names none and there are no labels to fit it to."""

    @model_validator(mode="after")
    def _a_model_is_named(self) -> TeacherTable:
        needed = self.kind in ("sparse", "cross_encoder", "callable")
        if needed and "model" not in self.model_fields_set:
            raise PydanticCustomError(
                "model", "a teacher of the kind {kind} came without a model", {"kind": self.kind}
            )
        return self


class DistillationTable(_Table):
    """How teachers become a target."""

    normalization: Literal["minmax", "zscore", "rank"] = "minmax"
    scale: float = Field(default=30.0, gt=0)
    """Factor of the normalised scores."""
    fit_weights: bool = True


class LossTable(_Table):
    """What is minimised: (1 - residual) x L(learned) + residual x L(BM25 + g x learned)."""

    residual: float = Field(default=0.5, ge=0, le=1)
    distillation: float = Field(default=1.0, ge=0)
    margin_mse: float = Field(default=0.0, ge=0)
    contrast: float = Field(default=0.1, ge=0)
    contrast_kind: Literal["info_nce", "decoupled", "individual", "soft"] = "info_nce"
    temperature: float = Field(default=1.0, gt=0)
    """Of the contrast; ``individual`` ones are learned."""

    @model_validator(mode="after")
    def _something_is_minimised(self) -> LossTable:
        if not (self.distillation or self.margin_mse or self.contrast):
            raise PydanticCustomError(
                "loss", "distillation, margin_mse and contrast are all 0; want one of them at least"
            )
        return self


class SparsityTable(_Table):
    """What keeps documents short."""

    regularizer: Literal["idf_flops", "flops", "df_flops", "joint_flops", "l1"] = "idf_flops"
    """``idf_flops`` presses on document weights as stored, ``flops`` on them times the query's,
    ``joint_flops`` on what network queries and documents share."""
    target_terms: float = Field(default=150.0, ge=0)
    """Terms a document that a controller steers to, by the weight; 0 keeps that as it is."""
    counted_ratio: float | None = Field(default=None, ge=0, le=1)
    """Terms count from this share of a document's greatest weight on; None: that at which the
    finished model prunes."""
    weight: float = Field(default=1e-3, ge=0)
    """Lambda, or where the controller begins."""
    ramp: float = Field(default=0.33, ge=0, le=1)
    """Share of steps in which the weight grows."""
    least_terms: int | None = None
    """Documents with no more are spared (l0 mask), by ``idf_flops`` and ``flops``."""
    query_l1: float = Field(default=0.0, ge=0)


class BatchTable(_Table):
    """How large a batch is, and what it is made of."""

    tokens: int = Field(default=7680, ge=16)
    """Of its documents, about."""
    max_documents: int = Field(default=64, ge=2)
    """At most, however short they are."""
    max_length: int = Field(default=192, ge=3)
    """Tokens read of a document."""
    neighbours: int = Field(default=3, ge=0)
    """Hard negatives drawn for each seed."""
    labelled_queries: int = Field(default=2, ge=0)
    """Of each document, at most."""
    pseudo_queries: int = Field(default=1, ge=0)
    """Of each document, at most."""
    hide_source: float = Field(default=0.5, ge=0, le=1)
    """Share of pseudo-queries scored without the document that they come from, which would leave
    the teacher nothing to say of the others."""
    seed: int | None = None
    """Of what each batch is drawn by; None takes the optimizer's, which draws the data too."""


class OptimizerTable(_Table):
    """AdamW with linear decay."""

    steps: int = Field(default=2000, ge=1)
    body_rate: float = Field(default=3e-5, ge=0)
    head_rate: float = Field(default=1e-4, ge=0)
    query_rate: float = Field(default=1e-3, ge=0)
    scalar_rate: float = Field(default=1e-2, ge=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    clip: float = Field(default=1.0, gt=0)
    bfloat16: bool | None = None
    """Of the products; None takes it on GPUs and on processors where it is faster."""
    seed: int = 0
    save_every: int = Field(default=250, ge=1)
    log_every: int = Field(default=20, ge=1)
    keep_checkpoints: int = Field(default=3, ge=1)
    average_last: int = Field(default=1, ge=1)
    """Checkpoints whose mean becomes the model, unless dev sets prefer a single one."""
    runs: int = Field(default=1, ge=1)
    """Trainings one after another, each with the next seed and data of its own draw; the mean is
    over the last checkpoints of all (Wortsman et al. 2022, "Model soups", arXiv:2203.05482)."""


class PretrainingTable(_Table):
    """What the head learns from the documents alone before training (see ``pretraining``)."""

    steps: int = Field(default=0, ge=0)
    """Of AdamW with linear decay; 0 leaves it out."""
    batch_size: int = Field(default=16, ge=1)
    """Texts a step."""
    max_length: int = Field(default=128, ge=3)
    """Tokens read of a text."""
    rate: float = Field(default=5e-5, ge=0)
    """Of learning, at the start."""
    masked: float = Field(default=0.3, ge=0, le=1)
    """Share of tokens that are hidden."""
    bag_weight: float = Field(default=0.1, ge=0)
    """Of the bag-of-words loss beside the masked language model's."""


class QueryFitTable(_Table):
    """After training, what the query table learns from whole collections (see ``query_fit``)."""

    steps: int = Field(default=0, ge=0)
    """0 leaves it out; else all documents of the data are encoded once."""
    queries: int = Field(default=64, ge=1)
    """In a step."""
    nearest: int = Field(default=24, ge=1)
    """Documents compared, of the first of each: teachers, learned scores, anchored scores."""
    others: int = Field(default=32, ge=0)
    """Documents compared that are drawn at random."""
    rate: float = Field(default=2.5e-3, gt=0)
    pull: float = Field(default=1.2, ge=0)
    """To the weights that training ended with."""


class ValidationTable(_Table):
    """A BEIR folder that is searched for real."""

    path: Path
    split: str = "dev"
    max_queries: int = Field(default=200, ge=1)
    max_documents: int = Field(default=2000, ge=1)
    """The judged ones and others drawn at random."""


class SelectionTable(_Table):
    """Which checkpoint is best: the greatest mean nDCG@10 among those within the budget."""

    every: int = Field(default=500, ge=1)
    """Steps between validations: a multiple of ``optimizer.save_every``."""
    max_terms: float = Field(default=150.0, gt=0)
    max_flops: float = Field(default=2.0, gt=0)
    anchored_share: float = Field(default=0.5, ge=0, le=1)
    """Of the anchored mode in the mean of both modes."""
    anchor_weights: tuple[float, ...] = Field(
        default=(0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3), min_length=1
    )
    """Those tried; the model gets the one with the best mean over the dev sets."""


class TrainConfig(_Table):
    """An experiment."""

    model: ModelTable = ModelTable()
    data: tuple[DataTable, ...] = Field(min_length=1)
    teachers: tuple[TeacherTable, ...] = Field(
        default=(TeacherTable(kind="dense"), TeacherTable(kind="bm25")), min_length=1
    )
    distillation: DistillationTable = DistillationTable()
    loss: LossTable = LossTable()
    sparsity: SparsityTable = SparsityTable()
    batch: BatchTable = BatchTable()
    pretraining: PretrainingTable = PretrainingTable()
    optimizer: OptimizerTable = OptimizerTable()
    query_fit: QueryFitTable = QueryFitTable()
    validation: tuple[ValidationTable, ...] = ()
    selection: SelectionTable = SelectionTable()
    language: str = "english"
    """Of BM25 and of words in pseudo-queries, as ``index --language``."""
    title_weight: int = Field(default=DEFAULT_TITLE_WEIGHT, ge=1, le=100)
    """How often BM25 counts a word of a title, as ``index --title-weight``."""
    work: Path = Path(".sparse-ir-train")
    """Folder of checkpoints and logs."""
    vectors: Path | None = None
    """Folder of the teachers' vectors; None is ``vectors`` in ``work``."""

    def analyzer(self) -> Analyzer:
        """What gives the texts their words."""
        return Analyzer(self.language, self.title_weight)

    @field_validator("language")
    @classmethod
    def _known(cls, language: str) -> str:
        try:
            Analyzer(language)
        except InvalidInputError as error:
            raise PydanticCustomError("language", "{error}", {"error": str(error)}) from error
        return language

    @model_validator(mode="after")
    def _validated_checkpoints_are_saved(self) -> TrainConfig:
        every, saved = self.selection.every, self.optimizer.save_every
        if self.validation and every % saved:
            raise PydanticCustomError(
                "selection",
                "selection.every is {every}; want a multiple of optimizer.save_every = {saved}",
                {"every": every, "saved": saved},
            )
        kept, averaged = self.optimizer.keep_checkpoints, self.optimizer.average_last
        if averaged > kept:
            raise PydanticCustomError(
                "average",
                "optimizer.average_last is {averaged}; want at most keep_checkpoints = {kept}",
                {"averaged": averaged, "kept": kept},
            )
        return self

    @model_validator(mode="after")
    def _tables_fit(self) -> TrainConfig:
        for table in self.data:
            if table.weights is not None and len(table.weights) != len(self.teachers):
                raise PydanticCustomError(
                    "weights",
                    "data.weights of {path} are {came}; want {wanted}, one a teacher",
                    {"path": str(table.path), "came": len(table.weights)}
                    | {"wanted": len(self.teachers)},
                )
            if table.scores and not any(one.kind == "file" for one in self.teachers):
                raise PydanticCustomError(
                    "scores",
                    "data.scores of {path} came; want a teacher of the kind file with it",
                    {"path": str(table.path)},
                )
        self._require_what_is_fitted()
        if len(set(self.validation_names)) < len(self.validation):
            raise PydanticCustomError("validation", "validation has a path and split twice")
        if self.sparsity.regularizer == "joint_flops" and self.model.queries == "lookup":
            raise PydanticCustomError(
                "joint_flops",
                "sparsity.regularizer is joint_flops; want model.queries = network with it",
            )
        if self.sparsity.least_terms and self.sparsity.regularizer not in ("idf_flops", "flops"):
            raise PydanticCustomError(
                "least_terms",
                "sparsity.least_terms came with {came}; want idf_flops or flops with it",
                {"came": self.sparsity.regularizer},
            )
        return self

    def _require_what_is_fitted(self) -> None:
        """There is a table to fit, and a teacher that can be asked for whole collections."""
        wanted = ""
        if self.model.queries == "network":
            wanted = "model.queries = lookup: there is a table"
        elif not any(one.kind in CHEAP_TEACHERS for one in self.teachers):
            wanted = "a teacher that is dense, sparse or bm25"
        if self.query_fit.steps and wanted:
            raise PydanticCustomError(
                "query_fit",
                "query_fit.steps is {steps}; want 0, or {wanted}",
                {"steps": self.query_fit.steps, "wanted": wanted},
            )

    @property
    def validation_names(self) -> list[str]:
        """Of each dev set: its folder's, with path and split where others have the same."""
        names = [table.path.name for table in self.validation]
        return [
            name if names.count(name) == 1 else f"{table.path} ({table.split})"
            for name, table in zip(names, self.validation, strict=True)
        ]

    @property
    def vectors_folder(self) -> Path:
        """Where teachers' vectors are kept."""
        return self.vectors or self.work / "vectors"

    def each_run(self) -> list[TrainConfig]:
        """The experiment of each of the runs, which has a seed and a work folder of its own."""
        if self.optimizer.runs == 1:
            return [self]
        return [self._run(number) for number in range(self.optimizer.runs)]

    def _run(self, number: int) -> TrainConfig:
        drawn = self.batch.seed if self.batch.seed is None else self.batch.seed + number
        seed = self.optimizer.seed + number
        return self.model_copy(
            update={
                "batch": self.batch.model_copy(update={"seed": drawn}),
                "optimizer": self.optimizer.model_copy(update={"seed": seed}),
                "work": self.work / f"run-{number}",
                "vectors": self.vectors_folder,
            }
        )


def read_config(path: str | Path) -> TrainConfig:
    """The experiment in the file; relative paths in it are relative to the file.

    Raises:
        DataFormatError: not TOML, an unknown key, or a value of the wrong kind.
        OSError: it cannot be read.
    """
    path = Path(path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DataFormatError(f"{path}: not TOML: {error}") from error
    try:
        config = TrainConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if not first["loc"]:  # tables that do not fit together
            raise DataFormatError(f"{path}: {first['msg']}") from None
        key = ".".join(map(str, first["loc"]))
        raise DataFormatError(f"{path}: {key}: {first['msg']} ({first['input']!r} came)") from None
    return _beside(config, path.parent)


def _beside(config: TrainConfig, folder: Path) -> TrainConfig:
    return config.model_copy(
        update={
            "work": folder / config.work,
            "vectors": config.vectors and folder / config.vectors,
            "model": config.model.model_copy(
                update={
                    "output": folder / config.model.output,
                    "start": _model_beside(config.model.start, folder),
                }
            ),
            "teachers": tuple(
                one.model_copy(update={"model": _model_beside(one.model, folder)})
                for one in config.teachers
            ),
            "data": tuple(
                one.model_copy(
                    update={
                        "path": folder / one.path,
                        "scores": one.scores and folder / one.scores,
                    }
                )
                for one in config.data
            ),
            "validation": tuple(
                one.model_copy(update={"path": folder / one.path}) for one in config.validation
            ),
        }
    )


def _model_beside(model: str, folder: Path) -> str:
    """A path is relative to the file; a name alone may also be a shipped model's."""
    beside = folder / model
    return str(beside) if beside.is_dir() else model
