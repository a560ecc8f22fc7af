"""What the facts of the demo's first part add up to.

usage: summary.py LIST FACTS MICROSECONDS FIGURES
Ends with 1 when FACTS are not one line for each line of LIST, in the same order. Writes its figures to FIGURES.
"""

import json
import sys
from collections import Counter
from pathlib import Path

BAR = 30


def main() -> None:
    list_file, facts_file, microseconds, figures = sys.argv[1:]
    paths = Path(list_file).read_text().splitlines()
    facts = [json.loads(line) for line in Path(facts_file).read_text(encoding="utf-8").splitlines()]
    if [fact.get("path") for fact in facts] != paths:
        sys.exit("\ndemo: NOT as told: the results are not one for each file, in the order of the list")
    seconds = int(microseconds) / 1e6
    megabytes = sum(fact["bytes"] for fact in facts) / 1e6
    print(f"   {len(facts):,} lines in, {len(facts):,} lines out, in the same order; {seconds:.1f} s with the start of")
    print(f"   the workers: {len(facts) / seconds:,.0f} files/s, {megabytes / seconds:.1f} MB/s.\n")

    each = list({fact["path"]: fact for fact in facts}.values())
    licences = Counter(name for fact in each for name in fact["licences"])
    print("   licence         files")
    for name, count in licences.most_common(8):
        print(f"   {name:<14} {count:>6}  {'#' * max(1, round(BAR * count / len(each)))}")

    words: Counter[str] = Counter()
    for fact in each:
        words.update(dict(fact["top"]))
    size, compressed = (sum(fact[what] for fact in each) for what in ("bytes", "compressed"))
    richest = max(each, key=lambda fact: fact["distinct"])
    print(f"\n   words          {sum(fact['words'] for fact in each):,}")
    print(f"   frequent ones  {', '.join(word for word, _ in words.most_common(6))}")
    print(f"   most different {richest['distinct']:,} in {richest['path']}")
    print(f"   compressed     {size / 1e6:.1f} MB to {compressed / 1e6:.1f} MB, {compressed / max(size, 1):.0%}")
    print(f"   not in UTF-8   {sum(not fact['utf8'] for fact in each)} files")
    Path(figures).write_text(
        json.dumps({"files_per_second": len(facts) / seconds, "megabytes_per_second": megabytes / seconds})
    )


main()
