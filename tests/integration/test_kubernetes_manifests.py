"""The manifests of deploy/ against Kubernetes' own models, Dagster's and KubeRay's configuration types, offline."""

import json

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from advcluster_dagster.assets.registry import RECIPES
from advcluster_dagster.orchestration.step_resources import memory_resource, placement
from advcluster_dagster.study.platform import PlatformSettings, load_platform_settings
from advcluster_dagster.study.study import Study
from tests.studies import ROOT

kubernetes = pytest.importorskip("kubernetes")
dagster_k8s = pytest.importorskip("dagster_k8s")
dagster_k8s_job = pytest.importorskip("dagster_k8s.job")
dagster_k8s_models = pytest.importorskip("dagster_k8s.models")
container_context = pytest.importorskip("dagster_k8s.container_context")
kuberay = pytest.importorskip("dagster_ray.kuberay.configs")

pytestmark = pytest.mark.integration
DEPLOY = ROOT / "deploy"
MODELS = {
    "ConfigMap": kubernetes.client.V1ConfigMap,
    "Deployment": kubernetes.client.V1Deployment,
    "NetworkPolicy": kubernetes.client.V1NetworkPolicy,
    "PersistentVolumeClaim": kubernetes.client.V1PersistentVolumeClaim,
    "Role": kubernetes.client.V1Role,
    "RoleBinding": kubernetes.client.V1RoleBinding,
    "Secret": kubernetes.client.V1Secret,
    "Service": kubernetes.client.V1Service,
    "ServiceAccount": kubernetes.client.V1ServiceAccount,
    "StatefulSet": kubernetes.client.V1StatefulSet,
}
DOCUMENTS = [
    document
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
SERVICES = [found for found in DOCUMENTS if found["kind"] == "Service"]
SETTINGS = next(found["data"] for found in DOCUMENTS if found["kind"] == "ConfigMap")
VLLM = {"provider": "vllm", "engine": {"tensor_parallel_size": 4, "gpu_memory_gib": 40}}


def label(document):
    return f"{document['kind']}-{document['metadata']['name']}"


def parsed(model, content):
    """Parse as Kubernetes' model; unknown keys are errors."""
    return dagster_k8s_models.k8s_model_from_dict(model, dagster_k8s_models.k8s_snake_case_dict(model, content))


@pytest.mark.parametrize("document", DOCUMENTS, ids=label)
def test_a_manifest_is_what_kubernetes_takes(document):
    made = parsed(MODELS[document["kind"]], document)
    assert made.metadata.name.startswith("advcluster")


def test_a_wrong_key_would_be_found():
    wrong = {"metadata": {"name": "x"}, "spec": {"replicsa": 1}}
    with pytest.raises(Exception, match="replicsa"):
        parsed(kubernetes.client.V1Deployment, wrong)


def test_kustomization_lists_every_file_but_the_secrets():
    listed = yaml.safe_load((DEPLOY / "kubernetes" / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    files = {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert set(listed) == files - {"kustomization.yaml", "secrets.example.yaml"}


def named(content, key):
    """All values of a key at any depth."""
    if isinstance(content, list):
        return [value for part in content for value in named(part, key)]
    if not isinstance(content, dict):
        return []
    here = [content[key]] if key in content else []
    return here + [value for part in content.values() for value in named(part, key)]


def test_what_manifests_refer_to_is_there():
    names = {
        kind: {document["metadata"]["name"] for document in DOCUMENTS if document["kind"] == kind} for kind in MODELS
    }
    everything = [*DOCUMENTS, yaml.safe_load((DEPLOY / "ray" / "raycluster.yaml").read_text(encoding="utf-8"))]
    assert {document["name"] for key in ("secretRef", "secretKeyRef") for document in named(everything, key)} <= names[
        "Secret"
    ]
    assert set(named(everything, "secretName")) <= names["Secret"]
    assert {document["name"] for document in named(everything, "configMap")} <= names["ConfigMap"]
    assert set(named(everything, "claimName")) <= names["PersistentVolumeClaim"]
    assert set(named(everything, "serviceAccountName")) <= names["ServiceAccount"]
    assert set(named(everything, "subPath")) <= set(SETTINGS)
    labels = [
        document["spec"]["template"]["metadata"]["labels"]
        for document in DOCUMENTS
        if "template" in document.get("spec", {})
    ]
    for service in (document for document in DOCUMENTS if document["kind"] == "Service"):
        assert service["spec"]["selector"] in labels


def test_the_web_server_is_reached_through_the_password_alone():
    (pod,) = (
        document["spec"]["template"]["spec"] for document in DOCUMENTS if label(document) == "Deployment-advcluster-web"
    )
    web, proxy = pod["containers"]
    assert web["args"][:3] == ["dagster-webserver", "-h", "127.0.0.1"]
    assert "ports" not in web
    assert [port["containerPort"] for port in proxy["ports"]] == [8080]
    assert "auth_basic_user_file" in SETTINGS["nginx.conf"]
    (policy,) = (document for document in DOCUMENTS if label(document) == "NetworkPolicy-advcluster-web")
    assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": 8080}]}]
    assert {document["spec"].get("type", "ClusterIP") for document in DOCUMENTS if document["kind"] == "Service"} == {
        "ClusterIP"
    }


@pytest.fixture
def launcher(tmp_path, monkeypatch):
    """The launcher configured in dagster.yaml, built by Dagster without contacting a cluster."""
    (tmp_path / "dagster.yaml").write_text(SETTINGS["dagster.yaml"], encoding="utf-8")
    monkeypatch.setattr(kubernetes.config, "load_incluster_config", lambda: None)
    ref = InstanceRef.from_dir(str(tmp_path))
    assert ref.settings["run_monitoring"]["enabled"]
    launcher = ref.run_launcher_data.rehydrate(as_type=dagster_k8s.K8sRunLauncher)
    return launcher


def test_settings_are_those_of_a_home(tmp_path):
    path = tmp_path / "platform.yaml"
    path.write_text(SETTINGS["platform.yaml"], encoding="utf-8")
    settings = load_platform_settings(path)
    assert settings.executor == "kubernetes"
    (secrets,) = (document["stringData"] for document in DOCUMENTS if label(document) == "Secret-advcluster-secrets")
    assert secrets[settings.database_url_env].startswith("postgresql+psycopg2://")
    assert f"{{env: {settings.database_url_env}}}" in SETTINGS["dagster.yaml"]
    assert f"max_concurrent_runs: {settings.max_concurrent_runs}\n" in SETTINGS["dagster.yaml"]


def engine_tags(executor):
    families = {"f": {role: {"model": role, **VLLM} for role in ("larger", "smaller")}}
    study = Study.model_validate({"study": "s", "families": families, "domains": {"math": ["b"]}})
    tags = placement(PlatformSettings(executor=executor), study, RECIPES["larger_traces"])["op_tags"]
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in tags.items()}


def test_the_job_of_a_step_with_an_engine(launcher):
    """The job that dagster-k8s would submit: our image, home and secrets, four GPUs on a node with enough memory."""
    kubernetes_context = container_context.K8sContainerContext
    of_run = kubernetes_context.create_for_run(dg.DagsterRun("job"), launcher, include_run_tags=False)
    of_step = dagster_k8s_job.get_user_defined_k8s_config(engine_tags("kubernetes"))
    context = of_run.merge(kubernetes_context(run_k8s_config=of_step))
    job = dagster_k8s_job.construct_dagster_k8s_job(
        context.get_k8s_job_config(None, launcher), ["dagster"], "step", context.run_k8s_config, "step"
    )
    pod = job.spec.template.spec
    (container,) = pod.containers
    assert container.image == "advcluster-dagster:0.1.0"
    assert container.resources.limits == {"nvidia.com/gpu": "4"}
    assert {mount.mount_path for mount in container.volume_mounts} == {
        "/opt/dagster/dagster.yaml", "/srv/advcluster", "/srv/advcluster/platform.yaml",
    }  # fmt: skip
    assert [source.secret_ref.name for source in container.env_from] == ["advcluster-secrets"]
    (term,) = pod.affinity.node_affinity.required_during_scheduling_ignored_during_execution.node_selector_terms
    (expression,) = term.match_expressions
    assert (expression.key, expression.operator, expression.values) == ("nvidia.com/gpu.memory", "Gt", ["40959"])
    assert pod.service_account_name == "advcluster"


def test_the_ray_cluster_is_what_kuberay_takes():
    cluster = yaml.safe_load((DEPLOY / "ray" / "raycluster.yaml").read_text(encoding="utf-8"))
    spec = k8s_keys(cluster["spec"])
    made = kuberay.RayClusterSpec(**spec)
    assert set(spec) <= set(kuberay.RayClusterSpec.model_fields)
    assert made.auth_options.mode == "token"
    for group in (cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]):
        parsed(kubernetes.client.V1PodTemplateSpec, group["template"])
    (gpu,) = (group for group in cluster["spec"]["workerGroupSpecs"] if group["groupName"] == "gpu")
    marks = json.loads(json.loads(gpu["rayStartParams"]["resources"]))
    asked = json.loads(engine_tags("ray")["dagster-ray/config"])["resources"]
    assert set(asked) == {memory_resource(40)} <= set(marks)


def k8s_keys(spec):
    """Convert outer keys to the spelling of Dagster's types."""
    return {"".join(f"_{c.lower()}" if c.isupper() else c for c in key): value for key, value in spec.items()}
