#pragma once
// What follows from a change in the switchboard, to be done without the mutex. For its own files.

#include "pool/helper.hpp"
#include "pool/switchboard.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace snakepit::detail {

struct switchboard::consequences {
    struct sent_calls {
        std::shared_ptr<lane> at;
        std::vector<std::uint64_t> ids;
    };
    std::vector<call_ptr> ended;    // for their callers
    std::vector<call_ptr> streams;  // the same, of those that take items
    std::vector<call_ptr> buried;   // for their workers, long after their callers; freed without the mutex
    std::vector<std::shared_ptr<lane>> flushes;
    std::vector<sent_calls> cancels;
    std::vector<sent_calls> recalls;  // calls that are wanted back
    std::vector<std::pair<std::shared_ptr<helper>, error>> let_go;
    std::shared_ptr<lane> served;
    std::function<void()> tell_of_waiting;
    struct watched_call {
        call_ptr what;  // answered
        std::shared_ptr<call_trail> trail;
    };
    std::vector<watched_call> trails;                    // calls of whose end somebody wants to know
    std::vector<std::pair<std::string, bool>> circuits;  // tools that are out of service from now on, or not any more
    bool alarm = false;
    bool deadlocks = false;  // there may be one
};

}  // namespace snakepit::detail
