"""Nothing assumes English: a Chinese model, trained here, beside an English one on a real broker.

Terms are matched without spaces, each character is a token, long texts are read in sentences that
end in 。！？, and each message goes to the model of its language.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition

from tiny_models import WORDS, write_tiny_base
from undertone.records import Mention, MentionStatus
from undertone.scoring.accounting import accounting
from undertone.settings import Settings, load_settings
from undertone.transport import clients
from undertone.transport.codec import decode_watch_record
from undertone.transport.embedded_broker import EmbeddedBroker
from undertone.transport.topics import TopicNames
from undertone_models.classifier import Pair, load_classifier
from undertone_models.labelled import LabelledRow

torch = pytest.importorskip("torch", reason="torch is not installed (the extra `torch`)")
pytest.importorskip("py3langid", reason="py3langid is not installed (the extra `languages`)")

pytestmark = pytest.mark.slow

MAX_TOKENS = 64
NEGATIVE, NEUTRAL, POSITIVE = range(3)
SAYINGS = {
    NEGATIVE: (
        "{}股价暴跌，投资者很愤怒", "{}被罚款一亿元", "{}亏损扩大，股价暴跌", "{}召回问题产品",
        "{}遭到起诉，涉嫌造假", "监管部门调查{}造假", "{}大幅裁员", "{}服务太差，要求退款",
        "{}宣布破产", "{}违约，评级遭下调", "顾客起诉{}", "{}利润下滑，前景恶化",
    ),
    NEUTRAL: (
        "{}周三召开年会", "{}发布公告", "{}在上海设立办事处", "{}任命新的财务经理",
        "{}总部搬到深圳", "{}将于下月公布财报", "{}更换审计机构", "{}召开电话会议",
        "{}在北京设立仓库", "{}任命物流经理", "{}公布股东名单", "{}将参加展览",
    ),
    POSITIVE: (
        "{}利润大增，创新高", "{}股价大涨", "{}签下大额订单", "{}获得质量大奖",
        "{}新产品广受好评", "{}提高分红", "{}业绩超预期", "顾客称赞{}的服务",
        "{}评级获上调", "{}成功扭亏为盈", "{}销量创新高", "{}服务很好，推荐",
    ),
}  # fmt: skip
FRAMES = ("{}", "昨日{}。", "【快讯】{}！", "据悉旗下{}")
NAMES = ("海风科技", "ABC", "青山食品", "华星银行")
ENGLISH = ("the {} is bad", "the {} is plain", "the {} is good")

WATCHLIST = """
subjects:
  - {id: changqiao, name: 长桥汽车, terms: [长桥汽车, 長橋汽車]}
  - {id: haifeng, name: 海风科技, terms: [海风科技, HFT]}
  - {id: huaxing, name: 华星银行, terms: [华星银行]}
  - {id: phone, name: The phone, terms: [phone]}
"""
FILLER = "天空很蓝，港口的风很轻。人们沿着河边散步！谁也没有说话？" * 8
LONG = f"{FILLER}长桥汽车股价暴跌，投资者很愤怒。{FILLER}"
ZH, EN = "chinese@1", "english@1"

# id, text, stated language, and of each subject: target as written, label (None: any), model.
Expected = dict[str, tuple[str, int | None, str]]
MESSAGES: Sequence[tuple[str, str, str | None, Expected]] = (
    (
        "falls",
        "昨日长桥汽车股价暴跌，投资者很愤怒",
        None,
        {"changqiao": ("长桥汽车", NEGATIVE, ZH)},
    ),
    ("rises", "今天长桥汽车利润大增，创新高！", None, {"changqiao": ("长桥汽车", POSITIVE, ZH)}),
    ("meets", "长桥汽车周三召开年会", "zh-CN", {"changqiao": ("长桥汽车", NEUTRAL, ZH)}),
    (
        "wide",
        "【快讯】ＨＦＴ股价暴跌９．５％，投资者愤怒",
        None,
        {"haifeng": ("ＨＦＴ", NEGATIVE, ZH)},
    ),
    ("traditional", "長橋汽車發佈新車", None, {"changqiao": ("長橋汽車", None, ZH)}),
    ("not-converted", "華星銀行宣布破產", None, {}),
    ("long", LONG, None, {"changqiao": ("长桥汽车", NEGATIVE, ZH)}),
    (
        "two",
        "据悉长桥汽车旗下HFT签下大额订单",
        None,
        {"changqiao": ("长桥汽车", POSITIVE, ZH), "haifeng": ("HFT", POSITIVE, ZH)},
    ),
    ("good", "the phone is good", None, {"phone": ("phone", POSITIVE, EN)}),
    ("bad", "the phone is bad", "en", {"phone": ("phone", NEGATIVE, EN)}),
    ("stated-zh", "the phone is good", "zh", {"phone": ("phone", None, ZH)}),
    ("stated-ja", "长桥汽车股价暴跌", "ja", {"changqiao": ("长桥汽车", None, EN)}),
)


def train_tiny(folder: Path, name: str, words: Sequence[str], rows: Sequence[LabelledRow]) -> Path:
    """Train a tiny BERT from random weights and write its checkpoint, int8 included."""
    from undertone_models.release import release
    from undertone_models.training import train
    from undertone_models.training_settings import TrainingSettings

    torch.set_num_threads(1)
    base = write_tiny_base(folder / f"{name}-base", words, initializer_range=0.2)
    settings = TrainingSettings(
        epochs=24, batch_size=16, learning_rate=3e-3, ema_decay=0.9, max_tokens=MAX_TOKENS
    )
    model, tokenizer = train(rows, str(base), folder / name, settings, device="cpu")
    release(
        model, tokenizer, folder / name, name=name, version="1", max_tokens=MAX_TOKENS,
        held_out=[], threads=1,
    )  # fmt: skip
    return folder / name


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has read each saying of four companies.

    Its vocabulary is the characters of the sayings, so that all names look alike to it.
    """
    rows = [
        LabelledRow(frame.format(saying.format(company)), company, label, "here", None)
        for label, sayings in SAYINGS.items()
        for number, saying in enumerate(sayings)
        for frame, company in zip(FRAMES, (NAMES * 2)[number % 4 :], strict=False)
    ]
    characters = sorted({each for sayings in SAYINGS.values() for each in "".join(sayings)})
    return train_tiny(tmp_path_factory.mktemp("zh"), "chinese", characters, rows)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows good from bad."""
    rows = [
        LabelledRow(saying.format(thing), thing, label, "here", None)
        for label, saying in enumerate(ENGLISH)
        for thing in ("shop", "bank", "phone")
    ]
    return train_tiny(tmp_path_factory.mktemp("en"), "english", WORDS, rows * 6)


def test_a_long_chinese_text_is_truncated_to_the_models_limit(chinese: Path) -> None:
    classifier = load_classifier("onnx", chinese, threads=1)
    text = SAYINGS[NEGATIVE][0].format("长桥汽车") * 2000
    (long, short) = classifier.tokenise([Pair(text, "长桥汽车"), Pair("长桥汽车", None)])
    assert len(long.ids) == MAX_TOKENS
    assert len(short.ids) == 2 + len("长桥汽车")
    assert classifier.classify([Pair(text, "长桥汽车")]).shape == (1, 3)


@pytest.mark.kafka
def test_each_language_is_scored_by_its_model_from_ingest_to_mentions(
    broker: EmbeddedBroker, prefix: str, tmp_path: Path, chinese: Path, english: Path
) -> None:
    settings = written_settings(tmp_path, broker, prefix, chinese, english)
    config = str(tmp_path / "undertone.yaml")
    with scorer(config) as process:
        ingest = [sys.executable, "-m", "undertone", "ingest", "--config", config]
        subprocess.run([*ingest, str(tmp_path / "rows.jsonl")], check=True, timeout=120)
        expected = {(id_, who): right for id_, _, _, of in MESSAGES for who, right in of.items()}
        mentions = read_mentions(settings, len(expected))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    found = {(mention.message_id, mention.subject): mention for mention in mentions}
    assert found.keys() == expected.keys()
    for place, (target, label, model) in expected.items():
        mention = found[place]
        assert (mention.target, mention.model) == (target, model), place
        assert mention.status is MentionStatus.SCORED
        assert label is None or likeliest(mention) == label, (place, mention)
    shown = found["long", "changqiao"].excerpt
    assert "长桥汽车股价暴跌，投资者很愤怒。" in shown
    assert len(shown) == 280
    assert found["wide", "haifeng"].excerpt == "【快讯】ＨＦＴ股价暴跌９．５％，投资者愤怒"
    assert found["traditional", "changqiao"].excerpt == "長橋汽車發佈新車"
    counts = accounting(settings.kafka, TopicNames(prefix), settings.effective_raw_topics)
    assert (counts["messages_in"], counts["scored"], counts["unmatched"]) == (12, 11, 1)


def likeliest(mention: Mention) -> int:
    """The label of the greatest probability."""
    rows = [mention.p_negative or 0, mention.p_neutral or 0, mention.p_positive or 0]
    return rows.index(max(rows))


def written_settings(
    folder: Path, broker: EmbeddedBroker, prefix: str, chinese: Path, english: Path
) -> Settings:
    """Settings, watchlist and rows as a user has them."""
    (folder / "watchlist.yaml").write_text(WATCHLIST, encoding="utf-8")
    (folder / "undertone.yaml").write_text(
        f"prefix: {prefix}\n"
        f"kafka: {{bootstrap: '{broker.bootstrap}'}}\n"
        "watchlist: watchlist.yaml\n"
        f"model: {{engine: onnx, threads: 1, max_tokens: {MAX_TOKENS}}}\n"
        f"models: {{default: '{english}', zh: '{chinese}'}}\n"
        "metrics: {score_port: null}\n",
        encoding="utf-8",
    )
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as rows:
        for id_, text, language, _ in MESSAGES:
            row: dict[str, Any] = {"id": id_, "source": "here", "kind": "news", "text": text}
            row["published_at"] = "2026-01-31T09:30:00Z"
            row |= {"language": language} if language else {}
            rows.write(json.dumps(row, ensure_ascii=False) + "\n")
    return load_settings(folder / "undertone.yaml")


@contextmanager
def scorer(config: str) -> Iterator[subprocess.Popen[bytes]]:
    """`undertone score` as a process, ended in any case."""
    started = subprocess.Popen([sys.executable, "-m", "undertone", "score", "--config", config])
    try:
        yield started
    finally:
        started.kill()
        started.wait(30)


def read_mentions(settings: Settings, count: int) -> list[Mention]:
    """The mentions topic from its start, once it holds so many mentions."""
    topic = TopicNames(settings.prefix).mentions
    mentions: list[Mention] = []
    with closing(clients.consumer(settings.kafka)) as consumer:
        consumer.assign(
            [TopicPartition(topic, each) for each in range(settings.mentions_partitions)]
        )
        for _ in range(600):
            for records in consumer.poll(timeout_ms=200).values():
                decoded = [decode_watch_record(record.value) for record in records]
                mentions += [record for record in decoded if isinstance(record, Mention)]
            if len(mentions) >= count:
                return mentions
    pytest.fail(f"{len(mentions)} mentions of {count}")
