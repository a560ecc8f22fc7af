#pragma once
// Rows of figures for perf/table.py: printed at once, and written as JSON to the file named in SNAKEPIT_PERF_OUT.

#include <fmt/format.h>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace snakepit::perf {

class report {
public:
    /// A figure without a bound.
    void row(std::string_view name, double value, std::string_view unit, std::string_view against = {}) {
        add({{"name", name},
             {"value", value},
             {"unit", unit},
             {"bound", nullptr},
             {"holds", true},
             {"against", against}});
    }
    /// A figure that must not be above `most`.
    void at_most(double most, std::string_view name, double value, std::string_view unit, std::string_view against) {
        bound(fmt::format("<= {}", most), value <= most, name, value, unit, against);
    }
    /// A figure that must not be below `least`.
    void at_least(double least, std::string_view name, double value, std::string_view unit, std::string_view against) {
        bound(fmt::format(">= {}", least), value >= least, name, value, unit, against);
    }

private:
    void bound(std::string text, bool holds, std::string_view name, double value, std::string_view unit,
               std::string_view against) {
        add({{"name", name},
             {"value", value},
             {"unit", unit},
             {"bound", std::move(text)},
             {"holds", holds},
             {"against", against}});
    }
    void add(nlohmann::json row) {
        const auto limit = row["bound"].is_null() ? std::string() : row["bound"].get<std::string>();
        fmt::print("{:36} {:12.3f} {:10} {:10} {:6} {}\n", row["name"].get<std::string>(), row["value"].get<double>(),
                   row["unit"].get<std::string>(), limit,
                   limit.empty()              ? ""
                   : row["holds"].get<bool>() ? "ok"
                                              : "FAILS",
                   row["against"].get<std::string>());
        rows_.push_back(std::move(row));
        // Written anew with every row: a measurement that is cut short keeps what it has.
        if (const char* path = std::getenv("SNAKEPIT_PERF_OUT")) std::ofstream(path) << rows_.dump(2) << '\n';
    }

    nlohmann::json rows_ = nlohmann::json::array();
};

/// The main() of a suite: what it throws is printed and ends it with exit code 1.
template <class Suite>
int run_suite(std::string_view name, Suite suite) {
    try {
        suite();
        return 0;
    } catch (const std::exception& failed) {
        fmt::print(stderr, "{}: {}\n", name, failed.what());
        return 1;
    }
}

}  // namespace snakepit::perf
