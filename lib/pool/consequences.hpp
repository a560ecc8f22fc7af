#pragma once
// What follows from a change of the switchboard's, to be done without its mutex.

#include "pool/helper.hpp"
#include "pool/switchboard.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace snakepit::detail {

struct switchboard::consequences {
    struct not_wanted {
        std::shared_ptr<lane> at;
        std::vector<std::uint64_t> ids;
    };
    std::vector<call_ptr> ended;    // for their callers
    std::vector<call_ptr> streams;  // the same, of those that take items
    std::vector<call_ptr> buried;   // for their workers, long after their callers; freed without the mutex
    std::vector<std::shared_ptr<lane>> flushes;
    std::vector<not_wanted> cancels;
    std::vector<std::pair<std::shared_ptr<helper>, error>> let_go;
    std::shared_ptr<lane> served;
    std::function<void()> tell_of_waiting;
    bool alarm = false;
};

}  // namespace snakepit::detail
