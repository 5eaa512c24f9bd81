"""The application: screens on top of one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import App, SystemCommand
from textual.screen import ModalScreen, Screen
from textual.theme import Theme

from workstation.model import JobContext, WorkstationError
from workstation.model.names import shown
from workstation.session import is_session
from workstation.studio.jobs import Job, Jobs
from workstation.studio.recent import session_facts
from workstation.tui.actions import APP_ACTIONS, Action
from workstation.tui.messages import JobChanged
from workstation.tui.screens.base import TableScreen
from workstation.tui.screens.dialogs import ErrorDialog, HelpDialog, Question, shown_keys

if TYPE_CHECKING:
    from workstation.perform.outputs import OutputOptions
    from workstation.studio import Session
    from workstation.studio.player import Connections

DARK = Theme(
    name="workstation-dark",
    primary="#6ea8fe",
    secondary="#8fb3d9",
    accent="#f0b35f",
    foreground="#d7dae0",
    background="#14161a",
    surface="#1b1e24",
    panel="#262a32",
    success="#63b78a",
    warning="#e3b341",
    error="#ee6a6a",
    dark=True,
    variables={"footer-key-foreground": "#f0b35f"},
)
LIGHT = Theme(
    name="workstation-light",
    primary="#1f5fbf",
    secondary="#45678f",
    accent="#a65a00",
    foreground="#22262d",
    background="#f7f7f4",
    surface="#eeeeea",
    panel="#e0e0da",
    success="#24744a",
    warning="#8a6100",
    error="#b3261e",
    dark=False,
    variables={
        "footer-key-foreground": "#a65a00",
        "border": "#b9b9b0",
        "trough": "#d8d8d0",
        "stripe": "#e8e8e3",
        "looped": "#dadace",
        "silent": "#b4b4ab",
        "tick": "#c2c2b8",
        "highlight": "#d2d2c8",
    },
)


class WorkstationApp(App[None]):
    """The screen of workstation.

    Args:
        path: A song, a folder of stems or a session to open at once.
        output: Where the sound goes.
        connections: Controllers, clock and OSC.
    """

    TITLE = "workstation"
    CSS_PATH = "workstation.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar = [action.binding() for action in APP_ACTIONS]

    def __init__(
        self,
        path: Path | None = None,
        output: OutputOptions | None = None,
        connections: Connections | None = None,
    ) -> None:
        super().__init__()
        self._path = path
        self.output = output
        self.connections = connections
        self.jobs = Jobs(self._tell_of)
        self._done: dict[int, Callable[[Any], None]] = {}
        # Dialogs that show what a job has made.
        self._shows: dict[int, Callable[[Any], Screen[Any]]] = {}
        self._waiting_session: Session | None = None

    def on_mount(self) -> None:
        """Begin at home."""
        from workstation.config import load_settings
        from workstation.tui.screens.home import HomeScreen

        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name
        self.push_screen(HomeScreen())
        try:
            self.theme = f"workstation-{load_settings().theme}"
        except WorkstationError as error:
            self.fail(error)
        if self._path is not None:
            self.open_path(self._path)

    def _tell_of(self, job: Job) -> None:
        """From the thread of a job."""
        self.post_message(JobChanged(job))

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Colours of our own, for themes that do not name them."""
        return {
            "border": "#3a404b",
            "trough": "#2a2d34",
            "stripe": "#25282f",
            "looped": "#363b43",
            "silent": "#5a5f68",
            "tick": "#474b54",
            "highlight": "#363b43",
        }

    # -- work ---------------------------------------------------------------------------------

    def run_job(
        self,
        title: str,
        call: Callable[[JobContext], Any],
        done: Callable[[Any], None] | None = None,
        *,
        shows: Callable[[Any], Screen[Any]] | None = None,
        long: bool = False,
    ) -> Job:
        """Do something in the background.

        Args:
            title: What it does to what.
            call: The work.
            done: Is called here with its result, if it works.
            shows: Makes a dialog of its result; it is shown at once, if nobody plays.
            long: Other long jobs wait for it.
        """
        job = self.jobs.start(title, call, long=long)
        self._done[job.number] = done or (lambda _: None)
        if shows is not None:
            self._shows[job.number] = shows
        if job.ended:  # It was faster than this line; its message found nothing to call.
            self.post_message(JobChanged(job))
        return job

    @on(JobChanged)
    def _job_changed(self, event: JobChanged) -> None:
        """Tell the screens, and go on with what has ended."""
        job = event.job
        for screen in self.screen_stack:
            if hasattr(screen, "show_job"):
                screen.show_job(job)
        if not job.ended or (done := self._done.pop(job.number, None)) is None:
            return
        if job.state == "done":
            done(job.result)
            if job.number in self._shows:
                self._show_result(job)
        elif job.error is not None:
            if self._occupied:
                words = f"{shown(job.title)} failed: {shown(job.error.problem)} b tells more."
                self.notify(words, severity="error", markup=False, timeout=10)
            else:
                self.fail(job.error)
        else:
            self.notify(f"{shown(job.title)}: stopped.", markup=False)

    @property
    def _occupied(self) -> bool:
        """Whether a dialog must not take the keys: somebody plays, or answers another one."""
        plays = any(getattr(screen, "plays", False) for screen in self.screen_stack)
        return plays or isinstance(self.screen, ModalScreen)

    def _show_result(self, job: Job) -> None:
        if self._occupied:
            self.notify(f"{shown(job.title)}: done. b shows it.", markup=False)
        else:
            self.show_result_of(job)

    def show_result_of(self, job: Job) -> None:
        """Show what a job has made, or why it failed; nothing if there is nothing to show."""
        if job.error is not None:
            self.push_screen(ErrorDialog(job.error))
        elif job.state == "done" and (shows := self._shows.get(job.number)) is not None:
            self.push_screen(shows(job.result))

    def fail(self, error: WorkstationError, again: Callable[[], object] | None = None) -> None:
        """Show what went wrong."""

        def answer(wants: bool | None) -> None:  # noqa: FBT001  (Textual calls it so)
            if wants and again is not None:
                again()

        self.push_screen(ErrorDialog(error, "Try again" if again is not None else ""), answer)

    def ask(self, question: str, yes: str, then: Callable[[], object]) -> None:
        """Do something if the user says yes."""

        def answered(answer: bool | None) -> None:  # noqa: FBT001  (Textual calls it so)
            if answer:
                then()

        self.push_screen(Question(question, yes), answered)

    # -- opening ------------------------------------------------------------------------------

    def open_path(self, path: Path) -> None:
        """Open a song, a folder of stems or a session; separate and analyse it if need be."""
        ready = is_session(path) and bool(session_facts(path).stems)
        self.run_job(
            f"Open {shown(path.name)}", partial(_prepare, path), self.show_session, long=not ready
        )

    def open_demo(self) -> None:
        """Make the demo song in `workstation-demo` in the working folder, and open it."""
        self.run_job("Make the demo song", _prepare_demo, self.show_session, long=True)

    def show_session(self, session: Session) -> None:
        """Show a session that has its stems; beside one that is open, only say so.

        Under a dialog it waits for the end of that.
        """
        from workstation.tui.screens.home import HomeScreen
        from workstation.tui.screens.session import SessionScreen

        at_home = not any(isinstance(screen, SessionScreen) for screen in self.screen_stack)
        if at_home and isinstance(self.screen, ModalScreen) and self._waiting_session is None:
            self._waiting_session = session
        elif isinstance(self.screen, HomeScreen) and not self.screen.searching:
            self.push_screen(SessionScreen(session))
        else:
            self.notify(f"{shown(session.song.title)} is ready: it is in the list at home.",
                        markup=False)  # fmt: skip
            for screen in self.screen_stack:
                if isinstance(screen, HomeScreen):
                    screen.reload()

    def show_ready(self) -> None:
        """At home again: show the session that became ready under a dialog."""
        session, self._waiting_session = self._waiting_session, None
        if session is not None:
            self.show_session(session)

    # -- actions ------------------------------------------------------------------------------

    def action_do(self, action_id: str) -> None:
        """Do a row of the table of the whole application."""
        getattr(self, f"do_{action_id}")()

    def do_jobs(self) -> None:
        """What runs."""
        from workstation.tui.screens.jobs import JobsDialog

        if not isinstance(self.screen, JobsDialog):
            self.push_screen(JobsDialog())

    def do_settings(self) -> None:
        """The settings file."""
        from workstation.config import load_settings
        from workstation.tui.screens.settings import SettingsDialog

        if isinstance(self.screen, SettingsDialog):
            return
        try:
            settings = load_settings()
        except WorkstationError as error:  # What would be saved would replace what is damaged.
            self.fail(error)
            return
        self.push_screen(SettingsDialog(settings))

    def do_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def do_help(self) -> None:
        """All keys of the screen."""
        screen = self.screen
        if isinstance(screen, TableScreen):
            words = (type(screen).__doc__ or "").split("\n\n")[0]
            title = type(screen).__name__.removesuffix("Screen")
            self.push_screen(HelpDialog(title, (*screen.TABLE, *APP_ACTIONS), words))

    def do_quit(self) -> None:
        """Leave; ask if work would be lost."""
        busy = self.jobs.active
        recording = any(getattr(screen, "recording", False) for screen in self.screen_stack)
        if not busy and not recording:
            self.leave()
            return
        what = "A take is being recorded" if recording else f"{len(busy)} of the jobs is under way"
        if len(busy) > 1 and not recording:
            what = f"{len(busy)} jobs are under way"
        end = "The take is kept." if recording else "What is complete is kept."
        self.ask(f"{what}. Leave all the same? {end}", "Leave", self.leave)

    async def action_quit(self) -> None:
        """Textual's own way out asks as well."""
        self.do_quit()

    @work(thread=True, exclusive=True, group="leave")
    def leave(self) -> None:
        """Stop everything, and end."""
        for screen in self.screen_stack:
            if hasattr(screen, "close_player"):
                screen.close_player()
        self.jobs.cancel_all()
        self.call_from_thread(self.exit)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette lists every action of the screen, with its key."""
        if isinstance(screen, TableScreen):
            for action in screen.TABLE:
                yield _command(action, partial(screen.perform, action))
        for action in APP_ACTIONS:
            yield _command(action, partial(self.action_do, action.id))


def _command(action: Action, call: Callable[[], Any]) -> SystemCommand:
    return SystemCommand(action.label, f"{action.help}  ({shown_keys(action)})", call)


def _prepare(path: Path, job: JobContext) -> Session:
    """Open something and do all that is missing before it can be played."""
    from workstation.studio import open_session
    from workstation.studio.recent import remember

    session = open_session(path, job=job.part(0.0, 0.05, "Opening"))
    remember(session.path)
    begin = 0.06 if session.has_stems(None) else 0.85
    session.separate(job=job.part(0.05, begin, "Separating"))
    session.analyze(job=job.part(begin, 1.0, "Analysing"))
    return session


def _prepare_demo(job: JobContext) -> Session:
    from workstation.studio.demo import demo_session
    from workstation.studio.recent import remember

    session = demo_session(Path("workstation-demo"), job)
    remember(session.path)
    return session
