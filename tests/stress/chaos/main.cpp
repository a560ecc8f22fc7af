// Workers under load while a seeded schedule kills, hangs and replaces them: whatever happens, every call ends once, as
// promised, capacity comes back, and nothing stays behind.

#include "stress/chaos/run.hpp"
#include "stress/chaos/summary.hpp"
#include "support/surroundings.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <sys/resource.h>
#include <unistd.h>
#include <csignal>
#include <exception>
#include <random>

namespace snakepit::chaos {
namespace {

std::string last_words;  // of a run that does not end

extern "C" void give_up(int) {
    (void)!::write(2, last_words.data(), last_words.size());
    std::abort();
}

std::string command_of(const settings& how) {
    return fmt::format("./dev chaos --seconds {} --seed {} --workers {} --profile {}", how.length.count(), how.seed,
                       how.workers, name_of(profile_of(how)));
}

void complain(const findings& f) {
    constexpr int shown = 10;  // of each kind
    std::map<fault, int> times;
    for (const auto& v : f.violations)
        if (++times[v.what] <= shown) fmt::print("VIOLATION: {}: call {}: {}\n", to_string(v.what), v.call, v.words);
    for (const auto& [what, n] : times) fmt::print("VIOLATIONS: {}: {} times\n", to_string(what), n);
    for (const auto& what : f.not_restored) fmt::print("NOT RESTORED: {}\n", what);
    for (const auto& what : f.left_behind) fmt::print("LEFT BEHIND: {}\n", what);
}

int main(int argc, char** argv) {
    settings how;
    how.seed = std::random_device()() % 1'000'000;
    int seconds = static_cast<int>(how.length.count());
    CLI::App options("Workers under load while a seeded schedule does them harm.", "chaos");
    options.add_option("--seconds", seconds, "length of the schedule")
        ->capture_default_str()
        ->check(CLI::Range(1, 86'400));
    options.add_option("--seed", how.seed, "of the schedule; a random one by default");
    options.add_option("--workers", how.workers, "of the pool")->capture_default_str()->check(CLI::Range(1, 100));
    const std::map<std::string, worker_profile> profiles = {
        {"process", worker_profile::process}, {"thread", worker_profile::thread}, {"async", worker_profile::async}};
    options.add_option("--profile", how.profile, "of the workers; by default the seed says")
        ->transform(CLI::CheckedTransformer(profiles));
    CLI11_PARSE(options, argc, argv);
    how.length = std::chrono::seconds(seconds);

    constexpr rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    fmt::print("{}; again: {}\n", setup_of(how), command_of(how));
    std::fflush(stdout);
    last_words = fmt::format("the run does not end; again: {}\n", command_of(how));
    std::signal(SIGALRM, give_up);
    constexpr int rest = 100;  // to answer, to recover and to tidy up, each at its limit; less than meson's limit
    ::alarm(static_cast<unsigned>(seconds + rest * test::slow));

    const auto found = run(how);
    fmt::print("{}", summary_of(found));
    if (found.all_is_well()) return 0;
    complain(found);
    fmt::print("again: {}\n", command_of(how));
    return 1;
}

}  // namespace
}  // namespace snakepit::chaos

int main(int argc, char** argv) {
    try {
        return snakepit::chaos::main(argc, argv);
    } catch (const std::exception& failed) {
        fmt::print(stderr, "chaos: {}\n", failed.what());
        return 2;
    }
}
