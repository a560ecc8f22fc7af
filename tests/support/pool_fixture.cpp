#include "support/pool_fixture.hpp"

#include <grpc/grpc.h>

#include <unistd.h>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>

namespace snakepit::test {
namespace {

/// gRPC makes descriptors of its own at its first use and keeps them: they are there before the first test looks.
class grpc_environment final : public testing::Environment {
public:
    void SetUp() override { grpc_init(); }
    void TearDown() override { grpc_shutdown(); }
};
const auto* const registered = testing::AddGlobalTestEnvironment(new grpc_environment);

/// Ends the program when a test hangs: the last resort, behind every other limit.
class watchdog {
public:
    explicit watchdog(clock::duration limit)
        : thread_([this, limit] {
              std::unique_lock lock(mutex_);
              if (changed_.wait_for(lock, limit, [this] { return over_; })) return;
              std::cerr << "\n*** the test hangs: "
                        << testing::UnitTest::GetInstance()->current_test_info()->test_suite_name() << "."
                        << testing::UnitTest::GetInstance()->current_test_info()->name() << std::endl;
              std::abort();
          }) {}
    ~watchdog() {
        {
            const std::lock_guard lock(mutex_);
            over_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool over_ = false;
    std::thread thread_;
};

std::string test_sources() {
    const char* dir = std::getenv("SNAKEPIT_TEST_SOURCES");
    return dir ? dir : "tests";
}

int count = 0;

}  // namespace

awaitable<bool> comes_true(std::function<bool()> holds, clock::duration limit) {
    for (const auto until = clock::now() + limit; !holds(); co_await wait_for(2ms))
        if (clock::now() > until) co_return false;
    co_return true;
}

const std::string PoolTest::marker_name = "SNAKEPIT_TEST_MARKER";

PoolTest::PoolTest() : marker_(std::to_string(::getpid()) + "-" + std::to_string(++count)) {
    std::cout.flush();
    descriptors_before_ = descriptors_of(::getpid());
    runtime_ = std::make_unique<temporary_directory>();
    scratch_ = std::make_unique<temporary_directory>();
    io.emplace();
}

PoolTest::~PoolTest() = default;

void PoolTest::SetUp() { ::setenv("XDG_RUNTIME_DIR", runtime().c_str(), 1); }

pool_options PoolTest::options(std::string module) const {
    pool_options o;
    o.module = std::move(module);
    o.python_path = {scratch().path().string(), test_sources() + "/integration/py", test_sources() + "/fault/py"};
    o.environment = {{marker_name, marker_}, {"SNAKEPIT_TEST_SCRATCH", scratch().path().string()}};
    o.start_timeout = 20s * slow;
    o.drain_timeout = 5s;
    return o;
}

pool_options PoolTest::module_of(const std::string& text) {
    static int made = 0;
    const auto name = "module_" + std::to_string(++made);
    scratch().write(name + ".py", text);
    auto o = options(name);
    o.workers.min = 1;
    return o;
}

void PoolTest::drive(clock::duration limit, const std::function<bool()>& done) {
    const watchdog last_resort(limit + 10s);
    io->restart();
    io->run_for(limit);
    if (done() && io->stopped()) return;
    std::cerr << "*** " << testing::UnitTest::GetInstance()->current_test_info()->name() << ": "
              << (done() ? "done, but io_context::run() does not return" : "not done")
              << " within its limit; left are:\n"
              << leftovers() << std::endl;
    for (const auto& p : processes()) ::kill(p.pid, SIGKILL);
    std::abort();
}

void PoolTest::report(const std::exception_ptr& failed) {
    try {
        std::rethrow_exception(failed);
    } catch (const std::exception& e) {
        ADD_FAILURE() << "an exception escaped: " << e.what();
    } catch (...) {
        ADD_FAILURE() << "an exception escaped";
    }
}

std::string PoolTest::leftovers() const {
    std::ostringstream found;
    for (const auto& p : processes()) found << "  process " << p << '\n';
    for (const auto& p : children_of(::getpid())) found << "  child " << p << '\n';
    for (const auto& [fd, link] : descriptors_of(::getpid()))
        if (const auto it = descriptors_before_.find(fd); it == descriptors_before_.end() || it->second != link)
            found << "  descriptor " << fd << ": " << link << '\n';
    std::error_code none;
    for (const auto& entry : fs::recursive_directory_iterator(runtime(), none))
        found << "  file " << entry.path().string() << '\n';
    return found.str();
}

void PoolTest::TearDown() {
    {
        const watchdog last_resort(20s * slow);
        io.reset();
    }
    if (expects_leftovers) return;
    // gRPC closes its end of a connection on a thread of its own.
    eventually([this] { return leftovers().empty(); }, 2s);
    EXPECT_EQ(leftovers(), "") << "the test has left something behind";
    for (const auto& p : processes()) ::kill(p.pid, SIGKILL);
}

}  // namespace snakepit::test
