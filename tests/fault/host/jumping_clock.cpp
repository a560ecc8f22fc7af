// A wall clock that jumps: preloaded into a program and all that it starts, without touching the machine's own clock.
// $SNAKEPIT_JUMPING_CLOCK names a file of 8 bytes: the seconds by which CLOCK_REALTIME is off, at every moment anew.
// What waits for a time by that clock wakes up when it is that time by the clock that jumps, as the kernel has it.

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t slice = 20'000'000;   // a wait looks so often whether the clock has jumped
constexpr std::time_t epoch_like = 1 << 30;  // 2004: no monotonic clock has run for so long

const std::int64_t* offset_of_file() {
    static const std::int64_t none = 0;
    const char* name = std::getenv("SNAKEPIT_JUMPING_CLOCK");
    const int file = name ? ::open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return &none;
    void* at = ::mmap(nullptr, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    ::close(file);
    return at == MAP_FAILED ? &none : static_cast<const std::int64_t*>(at);
}

std::int64_t offset() {
    static const std::int64_t* const shared = offset_of_file();
    return __atomic_load_n(shared, __ATOMIC_RELAXED);
}

template <class F>
F* next(const char* name) {
    return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

int true_time(clockid_t which, timespec* to) {
    static const auto real = next<int(clockid_t, timespec*)>("clock_gettime");
    return real(which, to);
}

bool jumps(clockid_t which) { return which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE; }

std::int64_t nanoseconds(const timespec& t) { return t.tv_sec * second + t.tv_nsec; }

/// What is left of a wait by the clock that jumps; not positive: nothing.
std::int64_t left_until(const timespec& deadline) {
    timespec now{};
    true_time(CLOCK_REALTIME, &now);
    return nanoseconds(deadline) - nanoseconds(now) - offset() * second;
}

/// A short while from now, and not after the time that is left, by CLOCK_MONOTONIC.
timespec next_look(std::int64_t left) {
    timespec now{};
    true_time(CLOCK_MONOTONIC, &now);
    const auto at = nanoseconds(now) + std::clamp<std::int64_t>(left, 0, slice);
    return {at / second, at % second};
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t which, timespec* to) noexcept {
    const int failed = true_time(which, to);
    if (failed == 0 && jumps(which)) to->tv_sec += offset();
    return failed;
}

int gettimeofday(timeval* to, void*) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t* to) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* deadline) {
    if (deadline->tv_sec < epoch_like) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, deadline);
    const auto look = next_look(left_until(*deadline));
    const int woken = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &look);
    return woken == ETIMEDOUT && left_until(*deadline) > 0 ? 0 : woken;  // a wake-up for nothing is allowed
}

int sem_timedwait(sem_t* semaphore, const timespec* deadline) {
    for (;;) {
        const auto look = next_look(left_until(*deadline));
        const int failed = sem_clockwait(semaphore, CLOCK_MONOTONIC, &look);
        if (failed == 0 || errno != ETIMEDOUT || left_until(*deadline) <= 0) return failed;
    }
}

long syscall(long number, ...) noexcept {
    static const auto real = next<long(long, ...)>("syscall");
    va_list list;
    va_start(list, number);
    long words[6];
    for (long& w : words) w = va_arg(list, long);
    va_end(list);
    const auto* deadline = reinterpret_cast<const timespec*>(words[3]);
    const bool by_wall = number == SYS_futex && (words[1] & FUTEX_CLOCK_REALTIME) != 0 && deadline;
    if (!by_wall) return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    const auto look = next_look(left_until(*deadline));
    const auto monotonic = words[1] & ~static_cast<long>(FUTEX_CLOCK_REALTIME);
    const long woken = real(number, words[0], monotonic, words[2], &look, words[4], words[5]);
    return woken == -1 && errno == ETIMEDOUT && left_until(*deadline) > 0 ? 0 : woken;  // as above
}
}
