#include "stress/chaos/map_checker.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <set>

namespace snakepit::chaos {
namespace {

class inquiry {
public:
    explicit inquiry(const map_record& of) : of_(of) {}

    std::vector<violation> all() {
        const std::set<std::uint64_t> different(of_.came.begin(), of_.came.end());
        if (different.size() != of_.came.size())
            blame(fault::item_twice, "{} results of {} items", of_.came.size(), different.size());
        else if (!different.empty() && *different.rbegin() >= of_.given)
            blame(fault::item_twice, "a result of item {}, and {} were read", *different.rbegin(), of_.given);
        if (of_.is_ordered && !std::is_sorted(of_.came.begin(), of_.came.end()))
            blame(fault::map_disorder, "to be in order");
        if (of_.has_ended && (different.size() != of_.items || of_.given != of_.items))
            blame(fault::map_too_few, "{} results, {} items were read, {} there were", different.size(), of_.given,
                  of_.items);
        if (of_.most_ahead > of_.window + 1)  // the one that is being returned has left the window
            blame(fault::read_ahead, "{} items ahead, and a window of {}", of_.most_ahead, of_.window);
        return std::move(found_);
    }

private:
    template <class... Args>
    void blame(fault what, fmt::format_string<Args...> how, Args&&... args) {
        found_.push_back(
            {what, 0,
             fmt::format("map {} of {}: {}", of_.number, of_.tool, fmt::format(how, std::forward<Args>(args)...))});
    }

    const map_record& of_;
    std::vector<violation> found_;
};

}  // namespace

std::vector<violation> check_maps(const std::deque<map_record>& of) {
    std::vector<violation> found;
    for (const auto& m : of)
        for (auto& v : inquiry(m).all()) found.push_back(std::move(v));
    return found;
}

}  // namespace snakepit::chaos
