#pragma once
// How many calls may be run again.

#include <algorithm>

namespace snakepit::detail {

/** A bucket of tokens: ten at first and at most, a tenth of one for each call that is let in, one for each that is run
    again. So what runs again adds a tenth to the load at most, also when every worker dies all the time. */
class retry_budget {
public:
    void earn() noexcept { tokens_ = std::min(tokens_ + per_call, most); }
    /// @return  whether there was one to take
    bool take() noexcept {
        if (tokens_ < 1.0) return false;
        tokens_ -= 1.0;
        return true;
    }

private:
    static constexpr double most = 10.0;
    static constexpr double per_call = 0.1;
    double tokens_ = most;
};

}  // namespace snakepit::detail
