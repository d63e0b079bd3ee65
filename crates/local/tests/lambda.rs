//! The Lambda lifecycle, seen by a real `lambda_runtime` function and a real extension.
//!
//! The function is this very test binary, started again with the name of an ignored test.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use flambeau_local::lambda::{
    Function, FunctionBuilder, InvokeOutcome, InvokeStatus, MAX_ANSWER_BYTES, MAX_EVENT_BYTES,
    ShutdownReason,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

/// Long enough for anything that works, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

static TICKS: AtomicU64 = AtomicU64::new(0);

// ---- the function --------------------------------------------------------------------------

#[test]
#[ignore = "is the function that the other tests start"]
fn function() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return;
    }
    match std::env::var("AT_INIT").as_deref() {
        Ok("exit") => exit(7),
        Ok("hang") => std::thread::sleep(PATIENCE),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.unwrap().block_on(serve()).unwrap();
}

async fn serve() -> Result<(), Error> {
    if let Ok(farewell) = std::env::var("FAREWELL") {
        let hook = || async move { fs::write(farewell, "bye").unwrap() };
        lambda_runtime::spawn_graceful_shutdown_handler(hook).await;
    }
    if let Ok(file) = std::env::var("TICKS") {
        std::thread::spawn(move || tick(Path::new(&file)));
    }
    lambda_runtime::run(service_fn(handle)).await
}

fn tick(file: &Path) {
    loop {
        let ticks = TICKS.fetch_add(1, Relaxed) + 1;
        let draft = file.with_extension("draft");
        fs::write(&draft, ticks.to_string()).unwrap();
        fs::rename(&draft, file).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (order, context) = event.into_parts();
    match order["do"].as_str().unwrap() {
        "fail" => Err("no luck".into()),
        "panic" => panic!("no nerve"),
        "exit" => exit(3),
        "sleep" => {
            tokio::time::sleep(PATIENCE).await;
            Ok(Value::Null)
        }
        "fill" => Ok(fill_memory()),
        "remember" => {
            let file = std::env::temp_dir().join("memory");
            let before = std::fs::read_to_string(&file).unwrap_or_default();
            std::fs::write(file, "still here").unwrap();
            Ok(Value::String(before))
        }
        "speak" => {
            println!("a word on stdout");
            Ok(Value::Null)
        }
        "long" => Ok(Value::String("x".repeat(MAX_ANSWER_BYTES))),
        "tick" => {
            let before = TICKS.load(Relaxed);
            while TICKS.load(Relaxed) == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok(json!({ "pid": std::process::id() }))
        }
        _ => Ok(json!({
            "pid": std::process::id(),
            "request": context.request_id,
            "arn": context.invoked_function_arn,
            "trace": context.xray_trace_id,
            "deadline_ms": context.deadline,
            "now_ms": unix_millis(),
            "memory": std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").unwrap(),
            "home": std::env::var_os("HOME").is_some(),
        })),
    }
}

fn fill_memory() -> Value {
    let mut blocks = Vec::new();
    for _ in 0..1024 {
        blocks.push(vec![1_u8; 1 << 20]);
        std::thread::sleep(Duration::from_millis(1));
    }
    json!(blocks.len())
}

#[test]
#[ignore = "is the extension that another test starts"]
fn extension() {
    use lambda_extension::{Extension, LambdaEvent, NextEvent};
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return;
    }
    let note = |event: LambdaEvent| async move {
        let diary = std::env::var("DIARY").unwrap();
        let line = match event.next {
            NextEvent::Invoke(event) => format!("invoke {}\n", event.request_id),
            NextEvent::Shutdown(event) => format!("shutdown {}\n", event.shutdown_reason),
        };
        let seen = fs::read_to_string(&diary).unwrap_or_default();
        fs::write(&diary, seen + &line).unwrap();
        Ok::<(), Error>(())
    };
    let running = Extension::new()
        .with_extension_name("diarist")
        .with_events(&["INVOKE", "SHUTDOWN"])
        .with_events_processor(lambda_extension::service_fn(note));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(running.run()).unwrap();
}

// ---- the tests -----------------------------------------------------------------------------

fn this_binary() -> String {
    let path = std::env::current_exe().unwrap();
    path.to_str().unwrap().to_owned()
}

fn builder() -> FunctionBuilder {
    Function::builder("subject", this_binary())
        .arg("--ignored")
        .arg("--exact")
        .arg("function")
        .arg("--nocapture")
        .timeout(PATIENCE)
        .init_timeout(PATIENCE)
        .memory_mb(512)
}

async fn invoke(function: &Function, order: Value) -> InvokeOutcome {
    function.invoke(order.to_string().into_bytes()).await.unwrap()
}

fn answer(outcome: &InvokeOutcome) -> Value {
    serde_json::from_slice(&outcome.payload).unwrap()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn unix_millis() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as u64
}

/// The letter Linux gives the process's state: `T` is stopped; `None`: no such process.
fn process_state(pid: u64) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

#[tokio::test]
async fn an_invocation_carries_its_true_context() {
    let function = builder().memory_mb(321).build().unwrap();
    let before = unix_millis();
    let cold = invoke(&function, json!({ "do": "describe" })).await;
    assert_eq!(cold.status, InvokeStatus::Ok, "{}", cold.logs);
    let seen = answer(&cold);
    assert_eq!(seen["request"], cold.request_id);
    assert_eq!(seen["arn"], "arn:aws:lambda:us-east-1:000000000000:function:subject");
    assert!(seen["trace"].as_str().unwrap().starts_with("Root=1-"));
    assert_eq!(seen["memory"], "321");
    assert_eq!(seen["home"], false, "the caller's environment leaks");
    let deadline = seen["deadline_ms"].as_u64().unwrap();
    let timeout = PATIENCE.as_millis() as u64;
    assert!(deadline >= before + timeout);
    assert!(deadline <= seen["now_ms"].as_u64().unwrap() + timeout);

    let warm = invoke(&function, json!({ "do": "describe" })).await;
    assert_eq!(answer(&warm)["pid"], seen["pid"]);
    assert!(answer(&warm)["deadline_ms"].as_u64().unwrap() > deadline);
    assert_ne!(warm.request_id, cold.request_id);
    assert!(cold.init_ms.is_some() && warm.init_ms.is_none());
    assert!(cold.billed_ms as f64 >= cold.duration_ms + cold.init_ms.unwrap());
    assert!(warm.answered_ms.unwrap() <= warm.duration_ms);
}

#[tokio::test]
async fn errors_and_panics_are_the_functions_own() {
    let function = builder().build().unwrap();
    let failed = invoke(&function, json!({ "do": "fail" })).await;
    assert_eq!(failed.status, InvokeStatus::FunctionError);
    assert_eq!(answer(&failed)["errorMessage"], "no luck");
    let panicked = invoke(&function, json!({ "do": "panic" })).await;
    assert_eq!(panicked.status, InvokeStatus::FunctionError);
    assert!(answer(&panicked)["errorMessage"].as_str().unwrap().contains("no nerve"));
    assert!(panicked.init_ms.is_none(), "a panic must not end it");
}

#[tokio::test]
async fn output_comes_back_as_the_tail_of_the_log() {
    let function = builder().build().unwrap();
    let spoken = invoke(&function, json!({ "do": "speak" })).await;
    // The pipe may be read a moment after the answer.
    let mut logs = spoken.logs;
    let begun = Instant::now();
    while !logs.contains("a word on stdout") {
        assert!(begun.elapsed() < PATIENCE, "{logs}");
        logs = invoke(&function, json!({ "do": "speak" })).await.logs;
    }
}

#[tokio::test]
async fn a_crash_ends_the_environment_only() {
    let function = builder().build().unwrap();
    let before = answer(&invoke(&function, json!({ "do": "describe" })).await);
    let crashed = invoke(&function, json!({ "do": "exit" })).await;
    assert_eq!(crashed.status, InvokeStatus::Crashed);
    assert!(answer(&crashed)["errorMessage"].as_str().unwrap().ends_with("exit status 3"));
    assert!(crashed.answered_ms.is_none());
    let after = invoke(&function, json!({ "do": "describe" })).await;
    assert!(after.is_ok() && after.init_ms.is_some());
    assert_ne!(answer(&after)["pid"], before["pid"]);
}

#[tokio::test]
async fn the_deadline_kills_and_the_next_invocation_starts_anew() {
    let function = builder().timeout(Duration::from_millis(1500)).build().unwrap();
    let before = answer(&invoke(&function, json!({ "do": "describe" })).await);
    let late = invoke(&function, json!({ "do": "sleep" })).await;
    assert_eq!(late.status, InvokeStatus::TimedOut);
    assert!(
        answer(&late)["errorMessage"]
            .as_str()
            .unwrap()
            .ends_with("Task timed out after 1.50 seconds")
    );
    let pid = before["pid"].as_u64().unwrap();
    assert_eq!(process_state(pid), None, "the process outlived its deadline");
    let after = invoke(&function, json!({ "do": "describe" })).await;
    assert!(after.is_ok() && after.init_ms.is_some());
}

#[tokio::test]
async fn temporary_files_outlive_a_process_and_end_with_the_sandbox() {
    let function = builder().build().unwrap();
    let remember = || invoke(&function, json!({ "do": "remember" }));
    assert_eq!(answer(&remember().await), "");
    assert_eq!(invoke(&function, json!({ "do": "exit" })).await.status, InvokeStatus::Crashed);
    assert_eq!(answer(&remember().await), "still here");
    function.shutdown(ShutdownReason::Spindown).await;
    assert_eq!(answer(&remember().await), "");
    let other = builder().build().unwrap();
    assert_eq!(answer(&invoke(&other, json!({ "do": "remember" })).await), "");
}

#[tokio::test]
async fn between_invocations_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ticks");
    let function = builder().env("TICKS", file.to_str().unwrap()).build().unwrap();
    let ticks = || fs::read_to_string(&file).unwrap().parse::<u64>().unwrap();
    for _ in 0..3 {
        let ticked = invoke(&function, json!({ "do": "tick" })).await;
        assert!(ticked.is_ok(), "thawed threads must run");
        let pid = answer(&ticked)["pid"].as_u64().unwrap();
        until("stopped", || process_state(pid) == Some('T')).await;
        let frozen_at = ticks();
        // Time must pass for a clock to be seen standing; it ticks every millisecond or so.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(ticks(), frozen_at);
    }
}

#[tokio::test]
async fn outgrown_memory_is_fatal_where_enforced() {
    let function = builder().enforce_memory(true).build().unwrap();
    let filled = invoke(&function, json!({ "do": "fill" })).await;
    assert_eq!(filled.status, InvokeStatus::OutOfMemory, "{}", filled.logs);
    assert_eq!(answer(&filled)["errorType"], "Runtime.OutOfMemory");
    assert!(invoke(&function, json!({ "do": "describe" })).await.is_ok());
}

#[tokio::test]
async fn a_failed_init_is_told() {
    let exits = builder().env("AT_INIT", "exit").build().unwrap();
    let failed = invoke(&exits, json!({ "do": "describe" })).await;
    assert_eq!(failed.status, InvokeStatus::InitFailed);
    assert!(answer(&failed)["errorMessage"].as_str().unwrap().ends_with("exit status 7"));
    let hangs =
        builder().env("AT_INIT", "hang").init_timeout(Duration::from_millis(300)).build().unwrap();
    let failed = invoke(&hangs, json!({ "do": "describe" })).await;
    assert_eq!(failed.status, InvokeStatus::InitFailed);
    assert_eq!(answer(&failed)["errorType"], "Sandbox.InitTimedout");
    let nothing = Function::builder("subject", "/nowhere/at/all").build().unwrap();
    assert!(nothing.invoke(Vec::new()).await.is_err());
}

#[tokio::test]
async fn answers_and_events_have_limits() {
    let function = builder().build().unwrap();
    let long = invoke(&function, json!({ "do": "long" })).await;
    assert_eq!(long.status, InvokeStatus::FunctionError);
    assert_eq!(answer(&long)["errorType"], "Function.ResponseSizeTooLarge");
    // A JSON string as large as it may be.
    let mut event = json!({ "do": "describe", "pad": "" }).to_string();
    let pad = "x".repeat(MAX_EVENT_BYTES - event.len());
    event.insert_str(event.len() - 2, &pad);
    assert!(event.contains("\"pad\":\"xx"));
    let outcome = function.invoke(event.clone().into_bytes()).await.unwrap();
    assert!(outcome.is_ok() && outcome.init_ms.is_none());
    event.push(' ');
    assert!(function.invoke(event.into_bytes()).await.is_err());
}

#[tokio::test]
async fn an_internal_extension_buys_a_farewell() {
    let folder = tempfile::tempdir().unwrap();
    let farewell = folder.path().join("farewell");
    let polite = builder().env("FAREWELL", farewell.to_str().unwrap()).build().unwrap();
    assert!(invoke(&polite, json!({ "do": "describe" })).await.is_ok());
    let ended = polite.shutdown(ShutdownReason::Spindown).await.unwrap();
    assert!(ended.graceful);
    assert_eq!(ended.exit_code, Some(0));
    assert_eq!(fs::read_to_string(&farewell).unwrap(), "bye");
    assert!(polite.shutdown(ShutdownReason::Spindown).await.is_none());

    let curt = builder().build().unwrap();
    assert!(invoke(&curt, json!({ "do": "describe" })).await.is_ok());
    let ended = curt.shutdown(ShutdownReason::Spindown).await.unwrap();
    assert!(!ended.graceful);
    assert_eq!(ended.exit_code, None);
}

#[tokio::test]
async fn an_external_extension_sees_invocations_and_the_end() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let diary = folder.path().join("diary");
    let program = folder.path().join("diarist");
    let line = format!("exec '{}' --ignored --exact extension\n", this_binary());
    fs::write(&program, format!("#!/bin/sh\n{line}")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let function = builder()
        .env("DIARY", diary.to_str().unwrap())
        .extension("diarist", program.to_str().unwrap())
        .build()
        .unwrap();
    let outcome = invoke(&function, json!({ "do": "describe" })).await;
    assert!(outcome.is_ok(), "{}", outcome.logs);
    function.shutdown(ShutdownReason::Spindown).await.unwrap();
    let lines = fs::read_to_string(&diary).unwrap();
    let expected = format!("invoke {}\nshutdown spindown\n", outcome.request_id);
    assert!(expected.eq_ignore_ascii_case(&lines), "{lines}");
}

#[tokio::test]
async fn nobody_outlives_a_dropped_function() {
    let function = builder().build().unwrap();
    let seen = answer(&invoke(&function, json!({ "do": "describe" })).await);
    let pid = seen["pid"].as_u64().unwrap();
    drop(function);
    until("gone", || process_state(pid).is_none()).await;
}
