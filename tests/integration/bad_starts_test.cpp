// Pools that cannot start: each says why, in time, and leaves nothing.

#include "support/pool_fixture.hpp"

#include <fmt/format.h>
#include <csignal>
#include <thread>

namespace snakepit::test {
namespace {

/// With both ways to start workers.
class BadStart : public PoolTest, public testing::WithParamInterface<start_method> {
protected:
    [[nodiscard]] pool_options options(std::string module = "everyday") const {
        auto how = PoolTest::options(std::move(module));
        how.start_method = GetParam();
        return how;
    }
    pool_options module_of(const std::string& text) {
        auto how = PoolTest::module_of(text);
        how.start_method = GetParam();
        return how;
    }
    /// Starts a pool that must fail, twice, and returns why.
    error failure_of(const pool_options& how, clock::duration limit = 20s * slow) {
        std::optional<error> why;
        run(
            [&]() -> awaitable<> {
                pool p(io->get_executor(), how);
                const auto before = clock::now();
                const auto up = co_await p.start();
                EXPECT_LT(clock::now() - before, limit);
                CO_ASSERT(!up);
                why = up.error();
                EXPECT_TRUE(processes().empty()) << leftovers();
                EXPECT_TRUE(fs::is_empty(runtime())) << leftovers();
                EXPECT_TRUE(p.tools().empty()) << "tools() is empty until start() has succeeded";
                const auto r = co_await p.execute("echo", 1);
                EXPECT_TRUE(!r && (r.error() == errc::pool_stopped || r.error() == errc::not_started)) << r.error();
                CO_ASSERT_OK(co_await p.stop());
            },
            limit + 20s * slow);
        return why.value_or(error(errc::cancelled, "no failure at all"));
    }
    static void expect_words(const error& e, errc code, std::initializer_list<const char*> words) {
        EXPECT_EQ(e.code(), code) << e.full();
        for (const auto* w : words)
            EXPECT_NE(e.full().find(w), std::string::npos) << '"' << w << "\" is not in: " << e.full();
        EXPECT_FALSE(e.message().empty());
    }
    /// Each worker of `text` writes a line here when its module is imported.
    static constexpr auto counting =
        "import os\nwith open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/starts', 'a') as f: f.write('x\\n')\n";
    [[nodiscard]] std::size_t starts() const { return line_count(scratch().path() / "starts"); }
};
INSTANTIATE_TEST_SUITE_P(Method, BadStart, testing::Values(start_method::fork, start_method::spawn),
                         [](const auto& method) { return method.param == start_method::fork ? "Fork" : "Spawn"; });

TEST_P(BadStart, ModuleMissing) {
    const auto e = failure_of(options("no_such_module_anywhere"));
    expect_words(e, errc::module_failed, {"no_such_module_anywhere", "searched", scratch().path().c_str()});
    EXPECT_TRUE(e.code() == failure::permanent);
    ASSERT_TRUE(e.python());
    EXPECT_EQ(e.python()->type, "ModuleNotFoundError");
}

TEST_P(BadStart, ModuleImportsSomethingThatIsMissing) {
    expect_words(failure_of(module_of("import no_such_dependency\n")), errc::module_failed,
                 {"no_such_dependency", "ModuleNotFoundError", "line 1"});
}

TEST_P(BadStart, ModuleRaisesOnImport) {
    auto how = module_of(std::string(counting) + "def f():\n    raise RuntimeError('the reason')\nf()\n");
    how.workers.min = 3;
    const auto e = failure_of(how);
    expect_words(e, errc::module_failed, {"RuntimeError", "the reason", "line 4", "in f", how.module.c_str()});
    ASSERT_TRUE(e.python());
    EXPECT_EQ(e.python()->type, "RuntimeError");
    EXPECT_EQ(e.python()->message, "the reason");
    std::this_thread::sleep_for(100ms);
    EXPECT_LE(starts(), 3u) << "nobody tries again";
    EXPECT_GE(starts(), 1u);
}

TEST_P(BadStart, ModuleHasASyntaxError) {
    expect_words(failure_of(module_of("def broken(:\n")), errc::module_failed, {"SyntaxError", "line 1"});
}

TEST_P(BadStart, ModuleHangsOnImport) {
    auto how = module_of(
        "import sys, time\nprint('before the hang', file=sys.stderr)\ndef stuck():\n    time.sleep(600)\nstuck()\n");
    how.start_timeout = 1500ms;
    const auto before = clock::now();
    const auto e = failure_of(how, 8s * slow);
    EXPECT_GE(clock::now() - before, 1400ms);
    expect_words(e, errc::start_timeout, {how.module.c_str(), "1500 ms", "before the hang"});
    ASSERT_TRUE(e.exit());
    EXPECT_NE(e.exit()->python_stack.find("in stuck"), std::string::npos) << e.full();
    EXPECT_TRUE(e.code() == failure::retry_elsewhere);
}

TEST_P(BadStart, ModuleHangsInCHoldingTheGil) {
    auto how = module_of("import ctypes\ndef stuck():\n    ctypes.PyDLL(None).sleep(600)\nstuck()\n");
    how.start_timeout = 1500ms;
    const auto e = failure_of(how, 8s * slow);
    expect_words(e, errc::start_timeout, {"in stuck"});
}

TEST_P(BadStart, ModuleHangsAndIgnoresEverything) {
    auto how = module_of(
        "import signal, time\nfor s in range(1, 65):\n"
        "    try: signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError): pass\ntime.sleep(600)\n");
    how.start_timeout = 1s;
    expect_words(failure_of(how, 8s * slow), errc::start_timeout, {});
}

TEST_P(BadStart, ModuleCallsSysExit) {
    expect_words(failure_of(module_of("import sys\nsys.exit(0)\n")), errc::module_failed, {"sys.exit(0)"});
    expect_words(failure_of(module_of("import sys\nsys.exit('words')\n")), errc::module_failed, {"sys.exit('words')"});
}

TEST_P(BadStart, ModuleEndsTheProcess) {
    auto e = failure_of(module_of("import os, sys\nprint('last words', file=sys.stderr)\nos._exit(3)\n"));
    expect_words(e, errc::module_failed, {"exit code 3", "last words"});
    ASSERT_TRUE(e.exit());
    EXPECT_EQ(e.exit()->code, 3);
    e = failure_of(module_of("import os\nos._exit(0)\n"));
    expect_words(e, errc::module_failed, {"exit code 0"});
    ASSERT_TRUE(e.exit());
    EXPECT_EQ(e.exit()->code, 0);
}

TEST_P(BadStart, ModuleCrashes) {
    auto e = failure_of(module_of("import ctypes\ndef crash():\n    ctypes.string_at(0)\ncrash()\n"));
    expect_words(e, errc::module_failed, {"SIGSEGV", "Segmentation fault", "in crash"});
    ASSERT_TRUE(e.exit());
    EXPECT_EQ(e.exit()->signal, SIGSEGV);
    e = failure_of(module_of("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"));
    expect_words(e, errc::module_failed, {"SIGKILL"});
}

TEST_P(BadStart, ModuleHasNoTools) {
    expect_words(failure_of(module_of("def not_a_tool(): pass\n")), errc::module_failed,
                 {"no tools", "@snakepit.tool"});
}

TEST_P(BadStart, SetupRaises) {
    const auto e = failure_of(module_of(R"(
import snakepit
class A(snakepit.Adapter):
    def setup(self):
        raise ConnectionError("no database")
    @snakepit.tool
    def f(self): pass
)"));
    expect_words(e, errc::module_failed, {"setup", "ConnectionError", "no database", "line 5"});
}

TEST_P(BadStart, ConstructorOfAnAdapterRaises) {
    expect_words(failure_of(module_of(R"(
import snakepit
class A(snakepit.Adapter):
    def __init__(self): 1 / 0
    @snakepit.tool
    def f(self): pass
)")),
                 errc::module_failed, {"ZeroDivisionError", "line 4"});
}

TEST_P(BadStart, SetupHangs) {
    auto how = module_of(R"(
import snakepit, time
class A(snakepit.Adapter):
    def setup(self):
        time.sleep(600)
    @snakepit.tool
    def f(self): pass
)");
    how.start_timeout = 1500ms;
    expect_words(failure_of(how, 8s * slow), errc::start_timeout, {"in setup"});
}

TEST_P(BadStart, NamesClash) {
    expect_words(failure_of(module_of(R"(
import snakepit
@snakepit.tool
def f(): pass
@snakepit.tool(name="f")
def g(): pass
)")),
                 errc::module_failed, {"two tools are named 'f'"});
}

TEST_P(BadStart, AnInputThatIsNoParameter) {
    expect_words(failure_of(module_of("import snakepit\n@snakepit.tool(input='x')\ndef f(y): pass\n")),
                 errc::module_failed, {"input='x'", "'f'"});
}

TEST_P(BadStart, OneOfTwoWorkersCannotStart) {
    auto how = module_of(std::string(counting) + R"(
import fcntl, snakepit
class A(snakepit.Adapter):
    def setup(self):
        self.lock = open(os.environ['SNAKEPIT_TEST_SCRATCH'] + '/lock', 'w')
        fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    @snakepit.tool
    def echo(self, value): return value
)");
    how.workers.min = 2;
    expect_words(failure_of(how), errc::module_failed, {"BlockingIOError"});
    EXPECT_LE(starts(), 2u);
}

TEST_P(BadStart, FloodsAtImportDoNotMatter) {
    auto how = module_of(R"(
import sys, snakepit
for i in range(40000):
    print("x" * 120)
    print("y" * 120, file=sys.stderr)
@snakepit.tool
def echo(value): return value
)");
    with_pool(how, [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); }, 60s * slow);
    how = module_of(
        "import sys\nsys.stdout.write('x' * 10_000_000)\nsys.stderr.write('the end\\n')\nraise ValueError('after a "
        "flood')\n");
    const auto e = failure_of(how);
    expect_words(e, errc::module_failed, {"after a flood", "the end"});
    EXPECT_LT(e.full().size(), 64u << 10) << "the last lines, not all of them";
}

TEST_P(BadStart, AModuleThatClosesOrReplacesItsStreamsStarts) {
    for (const auto* text : {"sys.stdout.close(); sys.stderr.close()", "sys.stdout = sys.stderr = None",
                             "os.close(1); os.close(2)", "sys.stdin.close()", "os.chdir('/')", "os.umask(0o777)"}) {
        SCOPED_TRACE(text);
        with_pool(module_of(fmt::format("import os, sys, snakepit\n{}\n@snakepit.tool\ndef echo(value): return value\n",
                                        text)),
                  [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
    }
}

TEST_P(BadStart, PythonMissing) {
    auto how = options();
    how.python = "/no/such/python3";
    const auto e = failure_of(how);
    expect_words(e, errc::python_unfit, {"/no/such/python3", "no such program"});
    how.python = "no-such-python-on-path";
    expect_words(failure_of(how), errc::python_unfit, {"no-such-python-on-path"});
    how.python = "/etc/passwd";
    expect_words(failure_of(how), errc::python_unfit, {"/etc/passwd"});
    how.python = "/tmp";
    expect_words(failure_of(how), errc::python_unfit, {"/tmp"});
}

TEST_P(BadStart, NotAPython) {
    for (const auto* program : {"/bin/false", "/bin/cat", "/bin/true", "/bin/echo", "/usr/bin/env"}) {
        SCOPED_TRACE(program);
        auto how = options();
        how.python = program;
        const auto before = clock::now();
        const auto e = failure_of(how);
        expect_words(e, errc::python_unfit, {program});
        EXPECT_LT(clock::now() - before, 3s * slow);
        EXPECT_LT(e.message().size(), 16u << 10);
    }
    auto how = options();
    how.python = scratch().write("garbage",
                                 std::string("\x7f"
                                             "ELF\0\0\0garbage",
                                             14),
                                 true);
    expect_words(failure_of(how), errc::python_unfit, {"garbage"});
    how.python = scratch().write("no-interpreter", "#!/no/such/interpreter\n", true);
    expect_words(failure_of(how), errc::python_unfit, {"no-interpreter"});
}

TEST_P(BadStart, APythonThatFloodsAndNeverGetsReady) {
    auto how = options();
    how.start_timeout = 1s;
    how.python = scratch().write("flood", "#!/bin/sh\nexec yes\n", true);
    expect_words(failure_of(how, 6s * slow), errc::start_timeout, {"it was not up within"});
}

TEST_P(BadStart, APythonThatHangsLeavesNoChildEither) {
    auto how = options();
    how.start_timeout = 500ms;
    how.python = scratch().write("hang", "#!/bin/sh\nsleep 600\nexit 1\n", true);
    expect_words(failure_of(how, 6s * slow), errc::start_timeout, {"it was not up within"});
}

TEST_P(BadStart, APythonBehindAWrapperWorks) {
    auto how = options();
    how.python = scratch().write("wrapper", "#!/bin/sh\n/usr/bin/python3 \"$@\"\nexit $?\n", true);
    with_pool(how, [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
}

TEST_P(BadStart, APythonWithANoisySiteWorks) {
    auto how = options();
    scratch().write("site/sitecustomize.py",
                    "import sys\nprint('x' * 200_000)\nprint('y' * 200_000, file=sys.stderr)\n");
    how.environment["PYTHONPATH"] = (scratch().path() / "site").string();
    how.start_timeout = 10s;
    with_pool(how, [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
}

TEST_P(BadStart, PythonWithoutGrpc) {
    auto how = options();
    for (const std::string missing : {"grpc", "google.protobuf", "msgpack"}) {
        SCOPED_TRACE(missing);
        std::string text = R"(
import sys
MISSING = "@"
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == MISSING or name.startswith(MISSING + "."):
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocker())
)";
        text.replace(text.find('@'), 1, missing);
        scratch().write("blocked/sitecustomize.py", text);
        how.environment["PYTHONPATH"] = (scratch().path() / "blocked").string();
        const auto debian = missing == "grpc"      ? "python3-grpcio"
                            : missing == "msgpack" ? "python3-msgpack"
                                                   : "python3-protobuf";
        expect_words(failure_of(how), errc::python_unfit, {missing.c_str(), debian, "No module named"});
    }
}

TEST_P(BadStart, PythonTooOld) {
    auto how = options();
    // The real interpreter, which says that it is an older one.
    scratch().write(
        "old/sitecustomize.py",
        "import sys, platform\nsys.version_info = (3, 6, 9, 'final', 0)\nplatform.python_version = lambda: '3.6.9'\n");
    how.environment["PYTHONPATH"] = (scratch().path() / "old").string();
    expect_words(failure_of(how), errc::python_unfit, {"3.6.9", "too old", "3.9"});
}

TEST_P(BadStart, AllMistakesInOptionsAtOnce) {
    pool_options how;
    how.module = "no module!";
    how.python_path = {""};
    how.workers = {-1, -1};
    how.queue_limit = 20'000'000;
    how.calls_per_worker = 0;
    how.start_method = static_cast<start_method>(7);
    how.start_timeout = 1ms;
    how.drain_timeout = -1ms;
    how.stop_grace = 0ms;
    how.restart_backoff.first = 0ms;
    how.restart_backoff.longest = 2h;
    how.scaling = {.up_after = 0ms, .down_after = 25h};
    how.environment = {{"A=B", "x"}, {"", "x"}, {"OK", std::string("a\0b", 3)}};
    how.max_message_bytes = 1;
    how.metrics_listen = ":9464";
    how.metrics = false;
    how.slow_call_threshold = -1ms;
    how.sessions.max_sessions = 0;
    how.sessions.max_variables = 0;
    how.sessions.max_value_bytes = 0;
    how.sessions.max_session_bytes = std::size_t{2} << 30;
    how.sessions.ttl = -1ms;
    how.sessions.affinity = static_cast<affinity>(9);
    how.sessions.when_worker_goes = static_cast<when_worker_goes>(9);
    const auto e = failure_of(how);
    expect_words(e, errc::invalid_options,
                 {"module",
                  "\"no module!\"",
                  "python_path",
                  "workers.min is -1",
                  "workers.max is -1",
                  "queue_limit is 20000000",
                  "calls_per_worker is 0",
                  "start_method is 7",
                  "start_timeout is 1 ms",
                  "drain_timeout is -1 ms",
                  "stop_grace is 0 ms",
                  "restart_backoff.first is 0 ms",
                  "restart_backoff.longest is 7200000 ms",
                  "scaling.up_after is 0 ms",
                  "scaling.down_after is 90000000 ms",
                  "environment",
                  "max_message_bytes is 1",
                  "metrics_listen is \":9464\"",
                  "0.0.0.0:9464",
                  "since metrics is false",
                  "slow_call_threshold is -1 ms",
                  "sessions.max_sessions is 0",
                  "sessions.max_variables is 0",
                  "sessions.max_value_bytes is 0",
                  "sessions.max_session_bytes is 2147483648",
                  "sessions.ttl is -1 ms",
                  "sessions.affinity is 9",
                  "sessions.when_worker_goes is 9",
                  "allowed"});
    EXPECT_EQ(how.mistakes().size(), 28u);
    EXPECT_TRUE(options().mistakes().empty());
}

TEST_P(BadStart, AStartThatFailedCanBeRepeatedWithAnotherPool) {
    failure_of(module_of("import nothing_such\n"));
    with_pool(options(), [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
}

TEST_P(BadStart, AModuleNameThatIsAPackage) {
    scratch().write("a_package/__init__.py", "");
    scratch().write("a_package/tools.py", "import snakepit\n@snakepit.tool\ndef echo(value): return value\n");
    with_pool(options("a_package.tools"), [](pool& p) -> awaitable<> { EXPECT_EQ(co_await p.execute("echo", 1), 1); });
    expect_words(failure_of(options("a_package.missing")), errc::module_failed, {"a_package.missing"});
}

}  // namespace
}  // namespace snakepit::test
