#pragma once
// Something in the host that works for a call while the call runs at its worker.

#include <snakepit/error.hpp>

namespace snakepit::detail {

class helper {
public:
    virtual ~helper() = default;
    /// The call that it worked for is over, or nobody wants it any more. Called without the switchboard's mutex.
    virtual void give_up(const error& why) = 0;
};

}  // namespace snakepit::detail
