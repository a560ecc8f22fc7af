#include "stress/chaos/writings.hpp"

#include <algorithm>

namespace snakepit::chaos {
namespace {

using kind = session_op::kind;
using outcome = session_op::outcome;

/// Of several attempts to write the same value one may succeed.
int weight_of(outcome how) {
    if (how == outcome::done) return 2;
    return how == outcome::unknown ? 1 : 0;
}

}  // namespace

writings::writings(const session_history& of) {
    for (const auto& op : of.ops)
        if (op.what == kind::write) add(op);
    for (const auto& op : of.ops)
        if (op.what == kind::read && op.how == outcome::done && op.value) learn_from(op);
}

void writings::add(const session_op& write) {
    auto& w = all_[write.value->number];
    if (w.by && weight_of(w.by->how) >= weight_of(write.how)) return;
    w = {&write, write.session, write.version, write.ended};
}

void writings::learn_from(const session_op& read) {
    const auto found = all_.find(read.value->number);
    if (found == all_.end()) return;
    auto& w = found->second;
    if (w.session == 0) w.session = read.session;
    if (w.session != read.session) return;
    if (w.version == 0) w.version = read.version;
    // Without a version: whoever assigns reads it at once, and it may not have left its worker yet. Others may still
    // come before it.
    if (read.observer == w.by->observer && read.version == 0) return;
    w.settled = std::min(w.settled, read.ended);
}

}  // namespace snakepit::chaos
