/* Requests that leave their work to a task of another request, in C by `wit-bindgen c`.
 *
 * `GET /worker?to=http://HOST:PORT&k=1&witness=none`: whichever request came first does all jobs in its
 * task, one after another, and looks for more every few milliseconds, until it has found none for a while.
 * The others look as often whether theirs are done. Nobody wakes another.
 *
 * `/own`: each request does its jobs itself. A job is one call, `GET {to}/call/{i}`; each request has `k`,
 * 16 at most. The answer is 200 without a body, or 502. `witness` says how calls name their request:
 * `none`; `token`, entered around the call that sends; or `echo-id`, its `x-request-id`.
 */
#include <stdlib.h>
#include <string.h>

#include "worker.h"

enum { MOST_JOBS = 16, PATIENCE = 5, MILLISECOND = 1000 * 1000 };

typedef headwater_attribution_scope_own_token_t token_t;
typedef wasi_http_client_result_own_response_error_code_t outcome_t;
typedef wasi_http_types_future_result_option_own_trailers_error_code_t trailers_t;

struct job {
    struct task *owner;
    struct job *next;
    char path[24];
    outcome_t outcome;
};

struct queue {
    struct job *first, **end;
};

/* A request, and what its task waits for. A handle that is zero is none. */
struct task {
    char to[64], tag[32], id[64];
    bool echo, has_token;
    token_t token;

    struct job jobs[MOST_JOBS];
    unsigned undone;
    bool failed, answered;

    /* Whose jobs the task does, if it does any; the one that it does now. */
    struct queue *queue, own;
    struct job *doing;
    unsigned idle;

    worker_waitable_set_t set;
    worker_subtask_t sending, timer;
    unsigned ends;
};

static struct queue shared = {NULL, &shared.first};
static bool working;

static void put(struct queue *queue, struct job *job) {
    *queue->end = job;
    queue->end = &job->next;
}

static struct job *take(struct queue *queue) {
    struct job *job = queue->first;
    if (job && !(queue->first = job->next))
        queue->end = &queue->first;
    return job;
}

static worker_string_t string(const char *text) {
    return (worker_string_t){(uint8_t *)text, strlen(text)};
}

/* The end of a body without trailers, which is read when the message has been sent. */
static trailers_t no_trailers(struct task *task) {
    static const wasi_http_types_result_option_own_trailers_error_code_t none = {0};
    wasi_http_types_future_result_option_own_trailers_error_code_writer_t writer;
    trailers_t reader = wasi_http_types_future_result_option_own_trailers_error_code_new(&writer);
    wasi_http_types_future_result_option_own_trailers_error_code_write(writer, &none);
    worker_waitable_join(writer, task->set);
    task->ends++;
    return reader;
}

/* The remedy: what is sent is sent for the token's request, whoever's task sends it. */
static worker_subtask_status_t send_for(token_t token, wasi_http_client_own_request_t request, outcome_t *outcome) {
    headwater_attribution_scope_own_entered_t entered =
        headwater_attribution_scope_method_token_enter(headwater_attribution_scope_borrow_token(token));
    worker_subtask_status_t status = wasi_http_client_send(request, outcome);
    headwater_attribution_scope_entered_drop_own(entered);
    return status;
}

static void append(wasi_http_types_own_headers_t headers, const char *name, const char *value) {
    worker_string_t field = string(name), text = string(value);
    wasi_http_types_field_value_t bytes = {text.ptr, text.len};
    wasi_http_types_header_error_t error;
    if (!wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &field, &bytes, &error))
        abort();
}

static void done(struct task *task) {
    struct job *job = task->doing;
    task->doing = NULL;
    if (job->outcome.is_err) {
        job->owner->failed = true;
        wasi_http_types_error_code_free(&job->outcome.val.err);
    } else {
        wasi_http_types_response_drop_own(job->outcome.val.ok);
    }
    job->owner->undone--;
}

/* Begins a job in this task. */
static void begin(struct task *task, struct job *job) {
    const struct task *owner = job->owner;
    wasi_http_types_own_headers_t headers = wasi_http_types_constructor_fields();
    append(headers, "x-tag", owner->tag);
    if (owner->echo)
        append(headers, "x-request-id", owner->id);
    wasi_http_types_tuple2_own_request_future_result_void_error_code_t made;
    wasi_http_types_static_request_new(headers, NULL, no_trailers(task), NULL, &made);
    wasi_http_types_future_result_void_error_code_drop_readable(made.f1);

    wasi_http_types_borrow_request_t request = wasi_http_types_borrow_request(made.f0);
    wasi_http_types_scheme_t http = {.tag = WASI_HTTP_TYPES_SCHEME_HTTP};
    worker_string_t authority = string(owner->to), path = string(job->path);
    if (!wasi_http_types_method_request_set_scheme(request, &http) ||
        !wasi_http_types_method_request_set_authority(request, &authority) ||
        !wasi_http_types_method_request_set_path_with_query(request, &path))
        abort();

    task->doing = job;
    worker_subtask_status_t status = owner->has_token ? send_for(owner->token, made.f0, &job->outcome)
                                                      : wasi_http_client_send(made.f0, &job->outcome);
    if (WORKER_SUBTASK_STATE(status) == WORKER_SUBTASK_RETURNED) {
        done(task);
    } else {
        task->sending = WORKER_SUBTASK_HANDLE(status);
        worker_waitable_join(task->sending, task->set);
    }
}

static void answer(struct task *task) {
    wasi_http_types_tuple2_own_response_future_result_void_error_code_t made;
    wasi_http_types_own_headers_t headers = wasi_http_types_constructor_fields();
    wasi_http_types_static_response_new(headers, NULL, no_trailers(task), &made);
    wasi_http_types_future_result_void_error_code_drop_readable(made.f1);
    if (task->failed)
        wasi_http_types_method_response_set_status_code(wasi_http_types_borrow_response(made.f0), 502);
    exports_wasi_http_handler_result_own_response_error_code_t result = {.is_err = false};
    result.val.ok = made.f0;
    exports_wasi_http_handler_handle_return(result);
    task->answered = true;
}

/* Does what can be done now, and says what the task waits for. */
static worker_callback_code_t go_on(struct task *task) {
    struct job *job;
    while (task->queue && !task->doing && (job = take(task->queue))) {
        task->idle = 0;
        begin(task, job);
    }
    if (!task->undone && !task->answered)
        answer(task);

    bool looks_for_more = task->queue == &shared && task->idle < PATIENCE;
    if (task->queue == &shared && !looks_for_more && !task->doing) {
        task->queue = NULL;
        working = false;
    }
    bool waits_for_others = !task->queue && task->undone;
    if (!task->timer && !task->doing && (looks_for_more || waits_for_others)) {
        worker_subtask_status_t status = wasi_clocks_monotonic_clock_wait_for(2 * MILLISECOND);
        if (WORKER_SUBTASK_STATE(status) == WORKER_SUBTASK_RETURNED) {
            /* The host was busy for longer than that. */
            task->idle++;
            return go_on(task);
        }
        task->timer = WORKER_SUBTASK_HANDLE(status);
        worker_waitable_join(task->timer, task->set);
    }
    if (task->timer || task->doing || task->undone || task->ends) {
        worker_context_set_0(task);
        return WORKER_CALLBACK_CODE_WAIT(task->set);
    }
    worker_waitable_set_drop(task->set);
    if (task->has_token)
        headwater_attribution_scope_token_drop_own(task->token);
    free(task);
    return WORKER_CALLBACK_CODE_EXIT;
}

/* Copies a value that ends at `&` or at the end, and is too long for no request that is sent here. */
static bool parameter(const char *query, const char *name, char *value, size_t size) {
    const char *at = strstr(query, name);
    if (!at)
        return false;
    at += strlen(name);
    size_t length = strcspn(at, "&");
    if (length >= size)
        abort();
    memcpy(value, at, length);
    value[length] = 0;
    return true;
}

static void header(wasi_http_types_own_headers_t headers, const char *name, char *value, size_t size) {
    worker_string_t field = string(name);
    wasi_http_types_list_field_value_t values;
    wasi_http_types_method_fields_get(wasi_http_types_borrow_fields(headers), &field, &values);
    if (values.len) {
        if (values.ptr[0].len >= size)
            abort();
        memcpy(value, values.ptr[0].ptr, values.ptr[0].len);
        value[values.ptr[0].len] = 0;
    }
    wasi_http_types_list_field_value_free(&values);
}

worker_callback_code_t exports_wasi_http_handler_handle(exports_wasi_http_handler_own_request_t request) {
    struct task *task = calloc(1, sizeof *task);
    char query[256] = "", text[16], to[64];
    worker_string_t path;
    if (!task)
        abort();
    if (wasi_http_types_method_request_get_path_with_query(wasi_http_types_borrow_request(request), &path)) {
        memcpy(query, path.ptr, path.len < sizeof query - 1 ? path.len : sizeof query - 1);
        worker_string_free(&path);
    }
    wasi_http_types_own_headers_t headers =
        wasi_http_types_method_request_get_headers(wasi_http_types_borrow_request(request));
    header(headers, "x-tag", task->tag, sizeof task->tag);
    header(headers, "x-request-id", task->id, sizeof task->id);
    wasi_http_types_fields_drop_own(headers);
    wasi_http_types_request_drop_own(request);

    task->set = worker_waitable_set_new();
    task->own.end = &task->own.first;
    if (parameter(query, "to=http://", to, sizeof to))
        strcpy(task->to, to);
    if (parameter(query, "witness=", text, sizeof text)) {
        task->echo = strcmp(text, "echo-id") == 0;
        if (strcmp(text, "token") == 0)
            task->has_token = headwater_attribution_scope_current(&task->token);
    }
    bool own = strstr(query, "/own?") != NULL;
    if (own) {
        task->queue = &task->own;
    } else if (!working) {
        working = true;
        task->queue = &shared;
    }
    task->undone = parameter(query, "k=", text, sizeof text) ? (unsigned)atoi(text) : 1;
    if (task->undone > MOST_JOBS)
        task->undone = MOST_JOBS;
    for (unsigned i = 0; i < task->undone; i++) {
        struct job *job = &task->jobs[i];
        job->owner = task;
        strcpy(job->path, "/call/");
        job->path[6] = (char)(i < 10 ? '0' + i : '1');
        if (i >= 10)
            job->path[7] = (char)('0' + i % 10);
        put(own ? &task->own : &shared, job);
    }
    return go_on(task);
}

worker_callback_code_t exports_wasi_http_handler_handle_callback(worker_event_t *event) {
    struct task *task = worker_context_get_0();
    switch (event->event) {
    case WORKER_EVENT_SUBTASK:
        if (event->code != WORKER_SUBTASK_RETURNED)
            break;
        worker_waitable_join(event->waitable, 0);
        worker_subtask_drop(event->waitable);
        if (event->waitable == task->timer) {
            task->timer = 0;
            task->idle++;
        } else {
            task->sending = 0;
            done(task);
        }
        break;
    case WORKER_EVENT_FUTURE_WRITE:
        worker_waitable_join(event->waitable, 0);
        wasi_http_types_future_result_option_own_trailers_error_code_drop_writable(event->waitable);
        task->ends--;
        break;
    default:
        break;
    }
    return go_on(task);
}
