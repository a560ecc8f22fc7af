// Variables that a running tool reads and writes: one more round trip each.

#include "measured_pool.hpp"
#include "perf_report.hpp"

#include <string>
#include <vector>

namespace snakepit::perf {
namespace {

using namespace std::chrono_literals;

constexpr auto stretch = 400ms;
constexpr int rounds = 9;

void set(measured_pool& in, const std::string& key, const std::string& name, const value& to) {
    in.run([&](pool& p) -> asio::awaitable<void> {
        auto s = p.session(key);
        expect(co_await s.set(name, to));
    });
}

void run() {
    measured_pool pool(options_for("session_tools", 2));
    constexpr int many = 32;
    for (int i = 0; i < many; ++i) {
        set(pool, "s" + std::to_string(i), "a", 7);
        set(pool, "s" + std::to_string(i), "b", "a text");
    }
    const value payload = std::string(100, 'x');
    const value echo_arguments = value::array({payload});
    const value read_arguments = value::array({"b"});
    const value nothing = value::array();
    const value two = value::array({7, "a text"});

    std::vector<call_options> in;
    for (int i = 0; i < many; ++i) in.push_back(call_options().session("s" + std::to_string(i)));
    const auto measure = [&](int callers, const std::string& tool, const value& arguments, const value& wanted) {
        return pool.measure(callers, stretch, wanted, [&](int caller) {
            return pool.it().execute(tool, arguments, in[static_cast<std::size_t>(caller)]);
        });
    };

    std::size_t wrong = 0;
    std::vector<double> echo_us;
    std::vector<double> added;
    std::vector<double> rates;
    for (int round = 0; round < rounds; ++round) {
        const auto echo = measure(1, "echo", echo_arguments, payload);
        const auto read = measure(1, "read", read_arguments, "a text");
        const auto mixed = measure(many, "read_two_write_one", nothing, two);
        wrong += echo.wrong + read.wrong + mixed.wrong;
        echo_us.push_back(echo.p50_us);
        added.push_back((read.p50_us - echo.p50_us) / echo.p50_us);
        rates.push_back(mixed.calls_per_second);
    }
    report to;
    to.row("session.echo_p50", median(echo_us), "us", "in a session, C=1");
    to.at_most(1.1, "session.read_over_echo_p50", median(added), "x",
               "a variable read inside of a tool, added to an echo, to the echo itself; C=1");
    to.at_least(15'000, "session.calls_per_second", median(rates), "calls/s",
                "32 callers, each call reads two variables and writes one, N=2");
    to.at_most(0, "session.wrong_values", static_cast<double>(wrong), "values", "every value is compared");
}

}  // namespace
}  // namespace snakepit::perf

int main() { return snakepit::perf::run_suite("session_calls", snakepit::perf::run); }
