//! Tools that go on as tasks (SEP-2663), for clients that know tasks.

use std::time::Duration;

use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
        CreateTaskResult,
    },
    service::RequestContext,
    task_manager::{TaskContext, TaskExit, TaskOptions},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{argument, input::form_request, rounds, text};
use crate::fixture::Fixture;

type TaskResult = Result<CallToolResult, TaskExit>;

/// The response, or none if the tool is not one of these.
pub(super) async fn call(
    fixture: &Fixture,
    request: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<Option<CallToolResponse>, ErrorData> {
    let able = context
        .client_capabilities()
        .is_some_and(|client| client.supports_tasks());
    if !able && NEVER_WITHOUT_TASK.contains(&request.name.as_ref()) {
        let tasks = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(tasks));
    }
    let response = match request.name.as_ref() {
        "slow_compute" if able => {
            let seconds = seconds(request);
            spawn(fixture, move |task| slow(task, seconds))
        }
        "slow_compute" => {
            sleep(seconds(request)).await;
            done().into()
        }
        "failing_job" => spawn(fixture, |_| failing()),
        "protocol_error_job" => spawn(fixture, |_| broken()),
        "confirm_delete" => {
            let file = argument(request, "filename").to_owned();
            spawn(fixture, move |task| confirmed(task, file))
        }
        "multi_input" => spawn(fixture, asking_twice),
        "test_tool_with_task" => match rounds::user_name(request) {
            Some(name) => {
                let greeting = format!("Hello, {name}!");
                spawn(fixture, move |_| async move { Ok(text(greeting)) })
            }
            None => rounds::name_form(request)?,
        },
        _ => return Ok(None),
    };
    Ok(Some(response))
}

fn spawn<F>(fixture: &Fixture, work: impl FnOnce(TaskContext) -> F) -> CallToolResponse
where
    F: Future<Output = TaskResult> + Send + 'static,
{
    let options = TaskOptions::new().with_poll_interval_ms(100);
    let task = fixture
        .shared
        .tasks
        .spawn(options, |context| Box::pin(work(context)));
    CreateTaskResult::new(task).into()
}

async fn slow(task: TaskContext, time: Duration) -> TaskResult {
    tokio::select! {
        () = task.cancelled() => Err(TaskExit::Cancelled),
        () = sleep(time) => Ok(done()),
    }
}

async fn failing() -> TaskResult {
    sleep(Duration::from_millis(500)).await;
    Ok(CallToolResult::error(vec![ContentBlock::text(
        "The job failed.",
    )]))
}

async fn broken() -> TaskResult {
    Err(TaskExit::Error(ErrorData::internal_error(
        "The job broke.",
        None,
    )))
}

async fn confirmed(task: TaskContext, file: String) -> TaskResult {
    let answer = confirm(&task, "confirm", &format!("Delete {file}?")).await?;
    let accepted = answer.pointer("/content/confirm") == Some(&Value::Bool(true));
    Ok(text(if accepted {
        format!("Deleted {file}.")
    } else {
        format!("Kept {file}.")
    }))
}

async fn asking_twice(task: TaskContext) -> TaskResult {
    let (first, second) = tokio::try_join!(
        confirm(&task, "first", "First?"),
        confirm(&task, "second", "Second?")
    )?;
    Ok(text(format!("The client answered {first} and {second}")))
}

async fn confirm(task: &TaskContext, key: &str, question: &str) -> Result<Value, TaskExit> {
    let schema = json!({ "type": "object", "properties": { "confirm": { "type": "boolean" } }, "required": ["confirm"] });
    task.request_input(key, form_request(question, schema)?)
        .await
}

fn seconds(request: &CallToolRequestParams) -> Duration {
    let arguments = request.arguments.as_ref();
    let seconds = arguments
        .and_then(|arguments| arguments.get("seconds"))
        .and_then(Value::as_f64);
    Duration::try_from_secs_f64(seconds.unwrap_or_default())
        .unwrap_or(LONGEST)
        .min(LONGEST)
}

fn done() -> CallToolResult {
    text("Done.")
}

const NEVER_WITHOUT_TASK: [&str; 5] = [
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];
const LONGEST: Duration = Duration::from_secs(60);
